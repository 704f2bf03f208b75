"""Base class of the records that a user writes, and the discriminators of tagged unions."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from sparseloop.input.diagnostics import SpecError
from sparseloop.input.field_types import Count
from sparseloop.input.markup import preformatted
from sparseloop.input.notation_writer import in_short_notation
from sparseloop.input.pydantic_errors import diagnostics

_inside: ContextVar[bool] = ContextVar("inside", default=False)


class Record(BaseModel):
    """Base of everything a user writes: frozen, unknown keys are errors, an empty value means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    called: ClassVar[str] = "the specification"
    """What messages call the whole."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Only what was given: defaults say nothing."""
        return ((name, value) for name, value in super().__repr_args__() if name in self.model_fields_set)

    def _repr_html_(self) -> str:
        """What a notebook shows: the record as YAML, in short notation, without what has its default value."""
        from sparseloop.input.yaml.files import to_yaml

        data = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if "layers" in data:  # they say all that the workload says
            data.pop("workload", None)
        return preformatted(to_yaml(in_short_notation(data)))

    @model_validator(mode="wrap")
    @classmethod
    def _diagnosed(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Turns pydantic's errors into one SpecError, at the outermost record only."""
        if isinstance(data, dict):
            data = {k: _filled_in(v) for k, v in cast("dict[str, Any]", data).items() if v is not None}
        if _inside.get():
            return handler(data)
        token = _inside.set(True)
        try:
            return handler(data)
        except ValidationError as error:
            raise SpecError(diagnostics(error, cls, data)) from None
        finally:
            _inside.reset(token)


def _filled_in(value: Any) -> Any:
    """A mapping without its empty values: they mean the default, as empty fields do."""
    return {k: v for k, v in cast("dict[str, Any]", value).items() if v is not None} if isinstance(value, dict) else value


def flag_or_list(value: object) -> str:
    """Tag of a value that is true, false or a list."""
    return "flag" if isinstance(value, bool) else "list"


def mapping_or_one(value: object) -> str:
    """Tag of a value that is a mapping or stands for all keys."""
    return "mapping" if isinstance(value, dict) else "one"


def text_or_list(value: object) -> str:
    """Tag of a value that is a name or a list."""
    return "text" if isinstance(value, str) else "list"


def _words(value: object) -> object:
    """'A B' or 'A, B' stands for a list of names."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""A list of names; 'A B' is short for [A, B]."""

Sizes = Annotated[
    Annotated[dict[str, Count], Tag("mapping")] | Annotated[tuple[Count, ...], Tag("one")], Discriminator(mapping_or_one)
]
"""Sizes along axes of a tensor, by rank variable or one number per axis."""
