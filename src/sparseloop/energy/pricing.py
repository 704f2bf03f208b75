"""Prices of actions: the energy (pJ) of one access or compute, with its source and confidence.

Prices come from what the user wrote, else from an energy table, else from the estimators, each number with its source. A price of
0 is announced unless the user wrote it or it follows from the meaning of the action.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from sparseloop.energy.components import Component, PricedPiece, known_class, leak_pj, priced_pieces
from sparseloop.energy.estimators import Estimate, registry, remember, times, total
from sparseloop.energy.estimators.constants import cited
from sparseloop.energy.estimators.sparse_units import gated_share
from sparseloop.energy.timeloop_pat import timeloop_energy
from sparseloop.model.design.arch import Part, Price


class TableEntry(NamedTuple):
    """One number of an energy (pJ) or area (um2) table, and where it is written."""

    value: float
    source: str | None = None
    confidence: float | None = None
    """None: `TABLE`."""


FallbackNames = Mapping[str, tuple[str, ...]]
"""Our action name to the names that may price it, first present wins."""

PREFIXES = ("", "gated_", "skipped_")
DATA_ACTIONS = ("read", "fill", "update")
METADATA_ACTIONS = ("metadata_read", "metadata_fill", "metadata_update")
ACCESSES = tuple(c + a for a in (*DATA_ACTIONS, *METADATA_ACTIONS) for c in PREFIXES)
SERVICE_ACTIONS = ("decompress", "compress", "intersect", "decode", "address_generation", "reduction", "merge", "leak")
COMPUTES = ("compute", "gated_compute", "skipped_compute")

STORAGE_ACTIONS = (*ACCESSES, *SERVICE_ACTIONS)
COMPUTE_ACTIONS = (*COMPUTES, "leak")
ACTIONS = (*ACCESSES, *COMPUTES, *SERVICE_ACTIONS)
"""Every canonical action name. Data accesses are per physical (vector) access, metadata per metadata access,
`decode` per metadata access, `decompress`, `compress`, `reduction`, `merge` and `address_generation` per word, `leak` per cycle
and instance."""

GIVEN, TABLE = 1.0, 0.95
"""Confidence of a price the user wrote at the level, and of one from an energy table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRequest:
    """The level to price, the prices that are known already, and the actions that can occur there."""

    component: Component
    own: Mapping[str, float] | None = None
    """Prices written at the level itself (any accepted action name)."""
    table: Mapping[str, TableEntry] | None = None
    """The level's entry of an energy table (maximum over argument variants); None: no entry."""
    own_area: float | None = None
    area_table: TableEntry | None = None
    used: frozenset[str] = frozenset((*DATA_ACTIONS, "compute"))
    """Actions that can occur; only their missing prices are warned of. See `used_actions`."""
    reading: Literal["native", "timeloop"] = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Price of every action of one level, and its area."""

    prices: Mapping[str, Price]
    area: Estimate
    """Area of one instance in um2."""
    parts: tuple[Part, ...] = ()
    """The hardware that area and leakage are made of."""
    warnings: tuple[str, ...] = field(default=())
    lasting: bool = True
    """False: an estimator failed, and may succeed the next time."""

    @property
    def area_um2(self) -> float:
        """Area of one instance in um2."""
        return self.area.value


def used_actions(
    *, metadata: bool, gating: bool, skipping: bool, decompression: bool, compression: bool, intersection: bool = False
) -> frozenset[str]:
    """The actions that can occur at a level (or at the compute level) with these features."""
    classes = [c for c, on in zip(PREFIXES, (True, gating, skipping), strict=True) if on]
    bases = (*DATA_ACTIONS, *(METADATA_ACTIONS if metadata else ()), "compute")
    flags = (("decompress", decompression), ("compress", compression), ("intersect", intersection))
    return frozenset([c + b for c in classes for b in bases] + [a for a, on in flags if on])


# --- names -----------------------------------------------------------------------------------------------


def _access_names(action: str) -> tuple[str, ...]:
    """Native names of a data or metadata access: its own, `write` for fill and update, and word-order variants."""
    for prefix in ("gated_", "skipped_"):
        if action.startswith(prefix):
            base = action.removeprefix(prefix)
            plain = [n for n in _access_names(base) if not n.startswith("random_")]
            inside = [n.removeprefix("metadata_") for n in plain if n.startswith("metadata_")]
            return (*(prefix + n for n in plain), *(f"metadata_{prefix}{n}" for n in inside))
    writes = (action.replace("fill", "write").replace("update", "write"),) if not action.endswith("read") else ()
    return tuple(n for base in (action, *writes) for n in (f"random_{base}", base))


_COMPUTE_NAMES = ("mac_random", "mult_random", "mac", "mult", "compute")
_GATED_COMPUTE = ("mac_gated", "mult_gated", "compute_gated", "gated_compute")
_SKIPPED_COMPUTE = ("mac_skipped", "mult_skipped", "compute_skipped", "skipped_compute")

NATIVE_NAMES: FallbackNames = {
    **{a: _access_names(a) for a in ACCESSES},
    "compute": _COMPUTE_NAMES,
    "gated_compute": _GATED_COMPUTE,
    "skipped_compute": _SKIPPED_COMPUTE,
    "decompress": ("decompress", "decompression_count"),
    "compress": ("compress", "compression_count"),
    "intersect": ("intersect", "intersect_try", "intersection"),
    "decode": ("decode",),
    "address_generation": ("address_generation",),
    "reduction": ("reduction", "temporal_reduction"),
    "merge": ("merge",),
    "leak": ("leak",),
}
"""Accepted names per action in native descriptions: no fall-back from one action to another."""


def _timeloop_access(action: str) -> tuple[str, ...]:
    """Names that Timeloop's development head looks up for one access, in order."""
    prefix = next((p for p in ("gated_", "skipped_") if action.startswith(p)), "")
    base = action.removeprefix(prefix)
    writes = () if base.endswith("read") else (base.replace("fill", "write").replace("update", "write"),)
    if not prefix and base in DATA_ACTIONS:
        return (f"random_{base}", *(f"random_{w}" for w in writes), base, *writes)
    if not prefix:
        return (f"random_{base}", base, *writes)
    prefixes = ("skipped_", "gated_") if prefix == "skipped_" else ("gated_",)
    return tuple(p + b for p in prefixes for b in (base, *writes))


TIMELOOP_NAMES: FallbackNames = {
    **{a: _timeloop_access(a) for a in ACCESSES},
    "compute": _COMPUTE_NAMES,
    "gated_compute": (*_GATED_COMPUTE[:3], "mac", "mult", "compute"),
    "skipped_compute": (*_SKIPPED_COMPUTE[:3], *_GATED_COMPUTE[:3], "mac", "mult", "compute"),
    "decompress": ("decompression_count",),
    "compress": ("compression_count",),
    "intersect": (),
    "decode": (),
    "address_generation": (),
    "reduction": (),
    "merge": (),
    "leak": ("leak",),
}
"""Fall-back chains of Timeloop's development head."""


def _own(request: PriceRequest, action: str) -> Estimate | None:
    """The price written at the level itself."""
    own = request.own or {}
    name = next((name for name in NATIVE_NAMES[action] if name in own), None)
    return None if name is None else Estimate(value=own[name], source="given", confidence=GIVEN)


def _from_table(names: tuple[str, ...], request: PriceRequest) -> Estimate | None:
    """The price of an energy table: that of the first of `names` in it."""
    table = request.table or {}
    name = next((name for name in names if name in table), None)
    if name is None:
        return None
    entry = table[name]
    return Estimate(value=entry.value, source=f"{entry.source or 'energy table'} ({name})", confidence=_sure(entry))


def _sure(entry: TableEntry) -> float:
    return TABLE if entry.confidence is None else entry.confidence


def _unused_names(request: PriceRequest, chains: FallbackNames) -> list[str]:
    """A warning for table entries and own prices that no action of this level asks for."""
    actions = STORAGE_ACTIONS if request.component.kind == "storage" else COMPUTE_ACTIONS
    known = {n for a in actions for n in chains[a]}
    own_known = {n for a in actions for n in NATIVE_NAMES[a]}
    name, out = request.component.name, list[str]()
    if unused := sorted(set(request.table or {}) - known):
        out.append(f"{name}: entries of the energy table that price no action: {', '.join(unused)}")
    if unused := sorted(set(request.own or {}) - own_known):
        out.append(f"{name}: prices of unknown actions are not used: {', '.join(unused)}")
    return out


def _total_warning(component: Component, what: str, actions: list[str]) -> list[str]:
    """One line naming a level and the actions that lack a price."""
    return [f"{component.name}: no price for {', '.join(actions)}: {what}"] if actions else []


def _prices(found: Mapping[str, Estimate]) -> dict[str, Price]:
    return {a: Price(energy_pj=e.value, source=e.source, confidence=e.confidence) for a, e in found.items()}


# --- native ----------------------------------------------------------------------------------------------

NOTHING, NO_BITS, INCLUDED = "skipped: nothing happens", "metadata access of 0 bits", "part of the access"
"""Sources of prices that are 0 by the meaning of the action."""
UNKNOWN = Estimate(value=0.0, source="no estimate", confidence=0.0)
METADATA_TRUST = 0.7
"""Confidence of a share of a data access, relative to that of the access."""


def _price_native(request: PriceRequest) -> Priced:
    """Given price, else table entry, else that of an estimator, else one that follows from others, else 0 with a warning."""
    component = request.component
    known, notes = priced_pieces(component)
    parts = tuple(_parts(request, known))
    estimated = _estimated(known) | _leak(parts)
    prices = dict[str, Estimate]()
    for action in STORAGE_ACTIONS if component.kind == "storage" else COMPUTE_ACTIONS:
        price = _own(request, action) or _from_table(NATIVE_NAMES[action], request) or estimated.get(action)
        prices[action] = price or _derived(component, action, prices) or UNKNOWN
    areas = [Estimate(value=p.count * p.area_um2, source=p.area_source, confidence=p.area_confidence) for p in parts]
    warnings = (
        *notes,
        *_unused_names(request, NATIVE_NAMES),
        *_announced(request, prices, parts),
        *_of_unknown_class(request, prices),
    )
    return Priced(
        prices=_prices(prices), area=_given_area(request) or total(areas), parts=parts, warnings=warnings, lasting=not notes
    )


def _estimated(known: Sequence[PricedPiece]) -> dict[str, Estimate]:
    """Action to the estimators' price: that of the array or arithmetic if it has one, of several units the dearest."""
    main = known[0]
    by_unit = dict[str, Estimate]()
    for piece in known[1:]:
        for action, name in (piece.piece.actions or {}).items():
            energy = piece.answer.energy_pj.get(name)
            if energy is not None and (action not in by_unit or energy.value > by_unit[action].value):
                by_unit[action] = times(piece.piece.share, energy)
    own = {action: _first_of(names, main.answer.energy_pj) for action, names in NATIVE_NAMES.items()}
    return by_unit | {action: times(main.piece.share, energy) for action, energy in own.items() if energy is not None}


def _first_of(names: tuple[str, ...], energies: Mapping[str, Estimate]) -> Estimate | None:
    return next((energies[name] for name in names if name in energies), None)


def _parts(request: PriceRequest, known: Sequence[PricedPiece]) -> Iterator[Part]:
    """The parts of the level with area and leakage.

    Values written or in tables hold for the whole level and are assigned to its first part.
    """
    area, leak = _given_area(request), _own(request, "leak") or _from_table(NATIVE_NAMES["leak"], request)
    inside = Estimate(value=0.0, source="part of what is given")
    for number, piece in enumerate(known):
        count = piece.piece.count
        if not count or any(_own_zero(request, action) for action in piece.piece.actions or ()):
            continue
        power = piece.answer.leak_mw
        lost = UNKNOWN if power is None else times(leak_pj(1, request.component.clock_hz), power)
        taken = piece.answer.area_um2 or UNKNOWN
        if area is not None:
            taken = inside if number else replace(area, value=area.value / count)
        if leak is not None:
            lost = inside if number else replace(leak, value=leak.value / count)
        yield Part(
            name=piece.piece.name,
            count=count,
            area_um2=taken.value,
            area_source=taken.source,
            area_confidence=taken.confidence,
            leak_pj=lost.value,
            leak_source=lost.source,
            leak_confidence=lost.confidence,
            unit="" if piece.piece.tensors is None else piece.piece.query.class_name,
            tensors=piece.piece.tensors or frozenset(),
        )


def _own_zero(request: PriceRequest, action: str) -> bool:
    """True if the user says that an action of this kind costs nothing: then there is no unit for it."""
    own = _own(request, action)
    return own is not None and own.value == 0


def _leak(parts: Sequence[Part]) -> dict[str, Estimate]:
    """Leakage of one instance in pJ per cycle; nothing where it is not known."""
    known = [Estimate(value=p.count * p.leak_pj, source=p.leak_source, confidence=p.leak_confidence) for p in parts]
    known = [piece for piece in known if piece.source != UNKNOWN.source]
    return {"leak": total(known)} if known else {}


def _derived(component: Component, action: str, found: Mapping[str, Estimate]) -> Estimate | None:
    """A price that follows from that of another action, or from the meaning of this one."""
    if action.startswith("skipped_"):
        return Estimate(value=0.0, source=NOTHING)
    if action.startswith("gated_"):
        return _gated(component, action.removeprefix("gated_"), found[action.removeprefix("gated_")])
    if action.startswith("metadata_"):
        return _metadata(component, found[action.removeprefix("metadata_")])
    if action == "address_generation" and component.family == "dram":
        return Estimate(value=0.0, source=INCLUDED)
    return None


def _gated(component: Component, action: str, actual: Estimate) -> Estimate | None:
    """The price of a gated action, as a share of that of the actual one."""
    if actual == UNKNOWN:
        return None
    share, key = gated_share(component.family)
    energy = cited(share * actual.value, key)
    return replace(energy, source=f"builtin: {share:g} of {action}: {energy.source}")


def _metadata(component: Component, data: Estimate) -> Estimate:
    """A metadata access to the array of the data, by its bits."""
    if component.metadata_access_bits == 0:
        return Estimate(value=0.0, source=NO_BITS)
    share = component.metadata_access_bits / (component.word_bits * component.block_size)
    named = Estimate(value=data.value, source=f"{component.metadata_access_bits:g}-bit share of {data.source}")
    return times(share, replace(named, confidence=data.confidence), trust=METADATA_TRUST)


def _announced(request: PriceRequest, prices: Mapping[str, Estimate], parts: Sequence[Part]) -> list[str]:
    """Warns of prices of 0, except those that the user wrote or that follow from the meaning of the action."""
    if parts and parts[0].leak_source == UNKNOWN.source:  # whatever its units leak
        prices = {**prices, "leak": UNKNOWN}
    component, free = request.component, dict[str, list[str]]()  # by source; empty: unknown
    always = {"leak", "address_generation"} if component.kind == "storage" else {"leak"}
    for action, price in prices.items():
        base = prices.get(action.removeprefix("gated_").removeprefix("metadata_"), price)
        expected = price.source == "given" or _free(component, action) or (base.source == "given" and base.value == 0)
        if price.value == 0 and not expected and action in request.used | always:
            same = price.source.replace(f" of {action.removeprefix('gated_')}:", " of the action:")
            free.setdefault(same if price.confidence else "", []).append(action)
    listed = {source: ", ".join(actions) for source, actions in free.items()}
    unknown = _total_warning(component, "counted as 0 pJ", free.pop("", []))
    areas = [part.name for part in parts if part.count and part.area_source == UNKNOWN.source]
    unsized = [f"{component.name}: no area for {', '.join(areas)}: counted as 0 um2"] if areas else []
    return [*unknown, *(f"{component.name}: 0 pJ for {listed[source]}: {source}" for source in free), *unsized]


def _of_unknown_class(request: PriceRequest, prices: Mapping[str, Estimate]) -> list[str]:
    """Warns if the price of an action that can occur rests on a class which says nothing."""
    component = request.component
    if not component.class_name or known_class(component.kind, component.class_name):
        return []
    guessed = [a for a in (*DATA_ACTIONS, "compute") if a in prices and a in request.used and _guessed(prices[a])]
    taken = "a MAC" if component.kind == "compute" else "SRAM"
    return [f"{component.name}: nothing is known of the class '{component.class_name}': priced as {taken}"] if guessed else []


def _guessed(price: Estimate) -> bool:
    """True for prices of the built-in estimator, of Timeloop's stand-in for one, and for none."""
    return not price.confidence or price.source.startswith(("builtin", "Timeloop"))


def _free(component: Component, action: str) -> bool:
    """True if the action costs nothing by its meaning, whoever says so: tables that we wrote do."""
    of_no_bits = component.metadata_access_bits == 0 and "metadata_" in action
    off_chip = action in ("address_generation", "leak") and component.family == "dram"
    return action.startswith("skipped_") or of_no_bits or off_chip


def _given_area(request: PriceRequest) -> Estimate | None:
    """Area written at the level, else that of an area table."""
    if request.own_area is not None:
        return Estimate(value=request.own_area, source="given", confidence=GIVEN)
    if request.area_table is not None:
        entry = request.area_table
        return Estimate(value=entry.value, source=entry.source or "area table", confidence=_sure(entry))
    return None


# --- Timeloop's files ------------------------------------------------------------------------------------


def _price_timeloop(request: PriceRequest) -> Priced:
    """Timeloop's fall-back chains; a given vector access energy (own `read`) makes the level ignore the table."""
    component, own = request.component, request.own or {}
    chosen = request if "read" not in own else _without_table(request)
    prices, lacking = dict[str, Estimate](), dict[str, list[str]]()
    for action in STORAGE_ACTIONS if component.kind == "storage" else COMPUTE_ACTIONS:
        price = _own(chosen, action) or _from_table(TIMELOOP_NAMES[action], chosen)
        if price is None:
            price, what = _timeloop_default(chosen, action)
            if action in chosen.used and what:
                lacking.setdefault(what, []).append(action)
        elif action in chosen.used and _full_price(action, price):
            lacking.setdefault("the full price of a compute is taken", []).append(action)
        prices[action] = price
    warnings = [*_unused_names(chosen, TIMELOOP_NAMES), *_of_unknown_class(chosen, prices)]
    for what, actions in lacking.items():
        warnings += _total_warning(component, what, actions)
    area = _given_area(request) or Estimate(value=0.0, source="Timeloop default (no area table)", confidence=0.0)
    return Priced(prices=_prices(prices), area=area, warnings=tuple(warnings))


def _without_table(request: PriceRequest) -> PriceRequest:
    """The same request, the energy table ignored."""
    return replace(request, table=None)


def _full_price(action: str, price: Estimate) -> bool:
    """True if a gated or skipped compute fell back to the entry of an actual one."""
    plain = tuple(f"({n})" for n in _COMPUTE_NAMES)
    return action in ("gated_compute", "skipped_compute") and price.source.endswith(plain)


def _timeloop_default(request: PriceRequest, action: str) -> tuple[Estimate, str]:
    """Price of an action without entry, and what to say about it if it can occur."""
    actual = action in (*DATA_ACTIONS, "compute")
    if actual and request.table:
        highest = max(request.table.values(), key=lambda entry: entry[0])
        price = Estimate(value=highest[0], source=f"{highest[1] or 'energy table'} (highest entry)", confidence=0.5)
        return price, "the highest entry of the table is taken"
    if actual:
        price = timeloop_energy(request.component)
        return (price, "") if price else (Estimate(value=0.0, source="no size", confidence=0.0), "0 pJ (no capacity given)")
    return Estimate(value=0.0, source="Timeloop default (no entry)", confidence=0.0), "counted as 0 pJ, as Timeloop does"


def price_level(request: PriceRequest) -> Priced:
    """Prices of all actions of one level: pJ per vector access, metadata access, word, compute or cycle."""
    if request.reading == "timeloop":
        return _price_timeloop(request)
    if request.component.backend is not None:  # another tool: it knows itself what it answered
        return _price_native(request)
    known, key = registry().priced, repr(request)
    if (before := known.get(key)) is not None:
        return before
    found = _price_native(request)
    if found.lasting:
        remember(known, key, found)
    return found
