"""What a user may write about prices: energy and area tables, and whom to ask."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Tag

from sparseloop.input.field_types import Energy, Fraction, Number
from sparseloop.input.records import Record, text_or_list


class ActionPrice(Record):
    """One entry of an energy table."""

    energy: Energy = Field(description="Energy of one action.")
    source: str | None = Field(default=None, description="Where the number is from; shown beside it.")
    confidence: Fraction | None = Field(default=None, description="From 0 to 1; None: 0.95.")


def _price(value: object) -> object:
    return {"energy": value} if isinstance(value, int | float | str) else value


class ErtTable(Record):
    """Energy table of one component: action name to price."""

    name: str = Field(description="The level or network it is for.")
    actions: dict[str, Annotated[ActionPrice, BeforeValidator(_price)]] = Field(description="Price by action: {read: 3.1}.")


class ArtTable(Record):
    """Area of one instance of a component in um2."""

    name: str = Field(description="The level it is for.")
    area: Number = Field(description="Area of one instance in um2.")
    source: str | None = Field(default=None, description="Where the number is from; shown beside it.")
    confidence: Fraction | None = Field(default=None, description="From 0 to 1; None: 0.95.")


class EnergySpec(Record):
    """Where prices come from, besides the `energy` of a level: tables first, then the built-in estimator."""

    ert: Annotated[Annotated[str, Tag("text")] | Annotated[tuple[ErtTable, ...], Tag("list")], Discriminator(text_or_list)] = (
        Field((), description="Energy tables, or the file (Accelergy's ERT) that holds them.")
    )
    art: Annotated[Annotated[str, Tag("text")] | Annotated[tuple[ArtTable, ...], Tag("list")], Discriminator(text_or_list)] = (
        Field((), description="Area tables, or the file (Accelergy's ART) that holds them.")
    )
    estimator: str | None = Field(
        default=None, description="Estimator that all levels ask first; hwcomponents and accelergy are asked only if named."
    )
