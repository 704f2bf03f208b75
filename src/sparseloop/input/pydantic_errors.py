"""Translates pydantic's errors into diagnostics with exact paths, plain words and did-you-mean hints."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from sparseloop.input.diagnostics import Diagnostic, Path, did_you_mean, dotted
from sparseloop.input.expressions import NotationError
from sparseloop.input.yaml.nodes import Plain


def diagnostics(error: ValidationError, model: type[BaseModel], data: Plain) -> list[Diagnostic]:
    """All mistakes of `data` against `model`; paths lead through `data` as the user wrote it."""
    found = [
        diagnostic
        for item in error.errors(include_url=False)
        for diagnostic in _translated(cast("Mapping[str, Any]", item), model, data)
    ]
    return as_written(found, data)


def as_written(found: Iterable[Diagnostic], data: Plain) -> list[Diagnostic]:
    """The diagnostics with paths through `data`. Each stands once, even if several layers inherit the mistake from `workload`."""
    placed = [replace(d, path=written_path(data, d.path)) for d in found]
    return list({(d.path, d.message): d for d in placed}.values())


def _translated(item: Mapping[str, Any], model: type[BaseModel], data: Plain) -> Iterator[Diagnostic]:
    loc: Path = item["loc"]
    kind: str = item["type"]
    context: Mapping[str, Any] = item.get("ctx", {})
    path = written_path(data, loc)
    cause = context.get("error")
    if isinstance(cause, NotationError):
        for mistake in cause.mistakes:
            yield Diagnostic(
                path=path + mistake.path,
                message=mistake.message,
                hint=mistake.hint,
                offset=mistake.offset,
                length=mistake.length,
            )
    elif kind == "missing":
        example = (
            _ALONE if loc == ("workload",) and "architecture" in cast("dict[str, Plain]", data) else _description(model, loc)
        )
        yield Diagnostic(path=path, message=f"{_where(model, data, path)} lacks '{loc[-1]}'", hint=example, key=True)
    elif kind == "extra_forbidden":
        word = str(loc[-1])
        known = {name for record in _models(model, loc[:-1]) for name in _names(record)}
        message = f"unknown field '{word}' in {_where(model, data, path[:-1])}"
        yield Diagnostic(path=path, message=message, hint=did_you_mean(word, known), key=True, unknown=True)
    elif kind == "literal_error":
        expected: str = context["expected"]
        hint = did_you_mean(str(item["input"]), re.findall(r"'([^']*)'", expected))
        hint = hint if hint and hint.startswith("did") else None
        message = f"expected {expected}, got {_shown(item['input'])}"
        yield Diagnostic(path=path, message=message, hint=hint, key=loc[-1] == "[key]")
    else:
        is_array = "density" in path and hasattr(item["input"], "shape")
        yield Diagnostic(path=path, message=_plain_words(item), hint=_FROM_ARRAY if is_array else None)


_ALONE = "give the file that has it, too; for the prices of an architecture alone: sparseloop energy FILE"
_FROM_ARRAY = "given data comes from a file: numpy.save('A.npy', array) or scipy.sparse.save_npz('A.npz', matrix), then 'A.npy'"


# --- paths --------------------------------------------------------------------------------------------------


def written_path(data: Plain, loc: Path) -> Path:
    """The path in `data` of a location that pydantic reports: parts that are not in the data (tags of unions, expanded
    notations) are skipped.
    """
    path = _walked(data, loc)
    if loc[:1] == ("layers",) and len(inherited := _walked(data, ("workload", *loc[2:]))) > max(1, len(path) - 1):
        return inherited
    if loc[:1] == ("workload",) and len(first := _walked(data, ("layers", 0, *loc[1:]))) > len(path) + 1:
        return first  # the first layer also stands for the workload that is not written
    return path


def _is_tag(data: Plain, parts: Path) -> bool:
    """True if the first part is the tag of a union and not the field of the same name: the next part is a field beside
    it, not in it.
    """
    if len(parts) < 2 or not isinstance(data, dict) or parts[0] not in data or parts[1] not in data:
        return False
    inner = cast("dict[str | int, Plain]", data)[parts[0]]
    return not (isinstance(inner, dict) and parts[1] in inner)


def _walked(data: Plain, loc: Path) -> Path:
    path = list[str | int]()
    for place, part in enumerate(loc):
        if part == "class_":
            part = "class"
        if _is_tag(data, loc[place : place + 2]):
            continue
        if len(path) == 2 and path[0] == "mapping" and (name := _only_key(data)):
            path.append(name)
            data = cast("dict[str, Plain]", data)[name]
        if isinstance(data, dict) and part in data:
            data = cast("dict[str | int, Plain]", data)[part]
            path.append(part)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(cast("Sequence[Plain]", data)):
            data = cast("Sequence[Plain]", data)[part]
            path.append(part)
        elif path == ["mapping"] and isinstance(data, dict) and isinstance(part, int):
            name = list(cast("dict[str, Plain]", data))[part]
            path.append(name)
            data = cast("dict[str, Plain]", data)[name]
    return tuple(path)


def _only_key(data: Plain) -> str | None:
    """The level of a one-line entry of the mapping."""
    if not isinstance(data, dict):
        return None
    entry = cast("dict[str, Plain]", data)
    return next(iter(entry)) if len(entry) == 1 and "target" not in entry else None


def _where(model: type[BaseModel], data: Plain, path: Path) -> str:
    """The thing at a path in words: level 'GLB', 'workload', the specification, the study."""
    for part in path:
        data = data[part]
    name = cast("dict[str, Plain]", data).get("name") if isinstance(data, dict) else None
    if path[:2] == ("architecture", "levels") and len(path) == 3:
        return f"level '{name}'" if name else f"level {path[2]}"
    return f"'{dotted(path)}'" if path else getattr(model, "called", "the specification")


# --- words --------------------------------------------------------------------------------------------------


def _plain_words(item: Mapping[str, Any]) -> str:
    words: str = item["msg"]
    words = words.removeprefix("Value error, ").replace("Input should be", "expected", 1)
    swaps = {"a valid dictionary or instance of": "a mapping:", "a valid dictionary": "a mapping (key: value)"}
    swaps |= {"a valid string": "text", "a valid tuple": "a list", "a valid list": "a list", "a valid boolean": "true or false"}
    for old, new in swaps.items():
        words = words.replace(old, new)
    return f"{words.split(' mapping: ')[0].removesuffix(':')}{' mapping' * (' mapping: ' in words)}, got {_shown(item['input'])}"


def _shown(value: Plain) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value) if isinstance(value, str | int | float) else type(value).__name__


# --- types --------------------------------------------------------------------------------------------------


def _parts(annotation: Any) -> Iterator[Any]:
    """The plain types behind Annotated and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin is Union or isinstance(annotation, types.UnionType):
        for member in get_args(annotation):
            yield from _parts(member)
    else:
        yield annotation


def _types(model: type[BaseModel], loc: Iterable[str | int]) -> list[Any]:
    """The types that may stand at a location; tags of unions lead nowhere and are passed over."""
    current: list[Any] = [model]
    for part in loc:
        inner = [kind for kind_above in current for below in _below(kind_above, part) for kind in _parts(below)]
        current = inner or current
    return current


def _below(kind: Any, part: str | int) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            if part in (name, info.alias):
                yield info.annotation
    elif get_origin(kind) is dict and isinstance(part, str) and part not in ("mapping", "flag", "list"):
        yield get_args(kind)[1]
    elif get_origin(kind) is tuple and isinstance(part, int):
        yield get_args(kind)[0]


def _models(model: type[BaseModel], loc: Iterable[str | int]) -> list[type[BaseModel]]:
    tags = list(loc)
    found = [kind for kind in _types(model, tags) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    tagged = [kind for kind in found if tags and kind.__name__.lower() == f"{tags[-1]}spec"]
    return tagged or found


def _names(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _description(model: type[BaseModel], loc: Path) -> str | None:
    for record in _models(model, loc[:-1]):
        for name, info in record.model_fields.items():
            if loc[-1] in (name, info.alias):
                return info.description
    return None
