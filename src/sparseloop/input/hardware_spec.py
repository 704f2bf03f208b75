"""What a user may write about the hardware of a level: bandwidths, metadata, networks, units; and about prices."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Tag

from sparseloop.input.field_types import Bandwidth, Capacity, Count, Energy, Fill, Fraction, Length, Number, Positive
from sparseloop.input.records import Record, text_or_list


class BandwidthSpec(Record):
    """Words per cycle and instance; a bare number (or '16 words/cycle', '25.6 GB/s') is the shared bandwidth."""

    read: Bandwidth | None = Field(default=None, description="Of reads; missing: unlimited.")
    write: Bandwidth | None = Field(default=None, description="Of fills and updates; missing: unlimited.")
    shared: Bandwidth | None = Field(default=None, description="Of both together; missing: unlimited.")


class MetadataSpec(Record):
    """Storage of metadata; a bare size is short for {capacity: size}."""

    capacity: Capacity | None = Field(default=None, description="Size, e.g. 8 KiB; None: unlimited.")
    access_bits: Number | None = Field(
        default=None, description="Bits per metadata access. None: the level's word width; 0: metadata costs no energy."
    )
    word_bits: Number | None = Field(default=None, description="Default width of coordinates and payloads; None: 8.")


class NetworkSpec(Record):
    """The network from this level to its children."""

    name: str | None = Field(default=None, description="Name in tables; None: PARENT <==> CHILD.")
    word_bits: Positive | None = Field(default=None, description="Width of a word on the wires; None: the level's word width.")
    energy_per_hop: Energy | None = Field(default=None, description="Energy of one word over one hop (pJ).")
    wire_pj_per_bit_mm: Number | None = Field(default=None, description="None: that of the estimator, else free.")
    estimator: str | None = Field(default=None, description="Who prices the wires of this mesh, e.g. builtin; None: nobody.")
    tile_width: Length | None = Field(default=None, description="Length of one hop (mm, or with a unit).")
    router: Energy = Field(default=0.0, description="Energy per router passed (pJ).")
    ingress: Energy = Field(default=0.0, description="Energy per word entering the network (pJ).")
    adder: Energy = Field(default=0.0, description="Energy per spatial reduction (pJ).")
    fill_latency: Number = Field(default=0.0, description="Cycles until the first word arrives; added to the run.")
    drain_latency: Number = Field(default=0.0, description="Cycles until the last result has left; added to the run.")
    forwarding: bool | None = Field(default=None, description="Children pass words to neighbours (systolic); None: no.")
    fill: Fill = Field(default=0.0, description="Cycles whenever the array is filled again; systolic: (x - 1) + (y - 1).")


class UnitSpec(Record):
    """Units of one kind in every instance of a level, and how fast they are."""

    count: Count = Field(default=1, description="How many one instance has.")
    rate: Positive = Field(default=1.0, description="Entries or words that one of them takes in a cycle.")
    radix: Annotated[Count, Field(ge=2)] | None = Field(
        default=None, description="merge: lists that it merges at once; more pass it several times. None: any number."
    )


# --- prices -------------------------------------------------------------------------------------------------


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
