"""Random specifications: nests, levels, formats, features; every draw follows from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from sparseloop.model.design.sparse import FormatKind, Partials, RankFormat, Saf, Sparse, TensorFormat
from tests.property.fuzz.densities import Density
from tests.property.fuzz.padding import as_modelled, draw_padding
from tests.property.fuzz.problems import draw_density, draw_tensors
from tests.property.fuzz.specification import Operand, Place, Slot, Specification, ordered

SIZES = (1, 2, 2, 3, 4, 4, 5, 6, 8, 9, 12)
PARTIALS: tuple[Partials, ...] = ("whole", "changed", "add")
KINDS: tuple[Literal["skip", "gate", "spatial_skip"], ...] = ("skip", "skip", "skip", "gate", "gate", *["spatial_skip"] * 2)


@dataclass(frozen=True)
class Limits:
    """How large a draw may be."""

    points: int = 300
    levels: int = 6
    padding: float = 0.15
    """Share of the draws with perfect factors that have padding."""


def draw(seed: str, limits: Limits = Limits()) -> Specification:
    """One specification; the same for the same seed."""
    dice = random.Random(seed)
    tensors = draw_tensors(dice)
    twins = random.Random(f"{seed} twins")
    twin = twins.choice(tensors[:-1]).name if 1 < len(tensors) <= 4 and twins.random() < 0.06 else ""
    if twin:
        tensors = (*tensors[:-1], *(replace(t, name="T") for t in tensors if t.name == twin), tensors[-1])
    levels = min(dice.choice((1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6)), limits.levels)
    ranks = tuple(dict.fromkeys(r for t in tensors for r in t.ranks))
    slots = _slots(dice, ranks, levels, dice.choice((24, 64, 150, limits.points)))
    places = _places(dice, tensors, levels)
    bare = Specification(tensors, slots, places, Sparse(formats={}), idle_ranks=ranks)
    names = [t.name for t in tensors]
    if dice.random() < 0.15:
        bare = replace(
            bare,
            no_temporal_reuse=frozenset((dice.randrange(levels), dice.choice(names)) for _ in range(dice.randint(0, 2))),
            no_multicast=frozenset((dice.randrange(levels), dice.choice(names)) for _ in range(dice.randint(0, 2))),
        )
    extents = random.Random(f"{seed} padding")  # of its own, so that the rest of a draw is what it would be without
    if not (bare.imperfect or twin) and extents.random() < limits.padding:
        bare = draw_padding(extents, bare)
    fixed = dice.random() < 0.5
    drawn = (replace(t, density=draw_density(dice, bare.data_shape(t), fixed)) for t in bare.tensors)
    filled = tuple(as_modelled(t) for t in drawn)
    if twin:
        first = next(t for t in filled if t.name == twin)
        same = first.density if first.density.fixed(bare.data_shape(first)) else Density("same", of=twin)
        filled = tuple(replace(t, density=same) if t.name == "T" else t for t in filled)
    result = dice.choice(("produced", "produced", "dense", "any"))
    if result != "any":
        density = Density("produced") if result == "produced" else Density()
        filled = (*filled[:-1], replace(filled[-1], density=density))
    full = replace(bare, tensors=filled)
    return _with_partials(dice, _packed(dice, replace(full, sparse=_sparse(dice, full))))


# --- loops --------------------------------------------------------------------------------------------------


def _slots(dice: random.Random, ranks: tuple[str, ...], levels: int, budget: int) -> tuple[Slot, ...]:
    """Loops whose bounds multiply to at most `budget`; a fifth of the draws have imperfect factors."""
    imperfect = dice.random() < 0.2
    spread = dice.choice((0.0, 0.2, 0.4, 0.6))
    slots = list[Slot]()
    for rank in dice.sample(ranks, len(ranks)):
        size = dice.choice([s for s in SIZES if s <= budget] or [1])
        budget //= size
        for bound in _factors(dice, size):
            level = dice.randrange(levels)
            axis = dice.choice(("x", "x", "y")) if dice.random() < spread else None
            last = dice.randint(1, bound) if imperfect and dice.random() < 0.5 else bound
            slots.append(Slot(rank, level, axis, bound, last))
        if dice.random() < 0.1:
            slots.append(Slot(rank, dice.randrange(levels), None, 1, 1))
    dice.shuffle(slots)
    return ordered(_merged(slots))


def _factors(dice: random.Random, size: int) -> list[int]:
    """Numbers above 1 with this product."""
    factors = list[int]()
    for prime in (2, 3, 5, 7):
        while size % prime == 0:
            factors.append(prime)
            size //= prime
    while len(factors) > 1 and dice.random() < 0.4:
        a = factors.pop(dice.randrange(len(factors)))
        factors[dice.randrange(len(factors))] *= a
    return factors


def _merged(slots: list[Slot]) -> list[Slot]:
    """At most one loop per rank, level and axis, as in a mapping's line; a second one moves into the first."""
    found = dict[tuple[str, int, str | None], Slot]()
    for slot in slots:
        key = (slot.rank, slot.level, slot.axis)
        if key in found:
            bound = found[key].bound * slot.bound
            found[key] = replace(found[key], bound=bound, last=min(bound, found[key].last * slot.last))
        else:
            found[key] = slot
    return list(found.values())


# --- levels -------------------------------------------------------------------------------------------------


def _places(dice: random.Random, tensors: tuple[Operand, ...], levels: int) -> tuple[Place, ...]:
    names = [t.name for t in tensors]
    chance = dice.choice((0.4, 0.7, 1.0))
    blocks = dice.random() < 0.3
    limited = dice.random() < 0.3
    places = list[Place]()
    for level in range(levels):
        keep = frozenset(n for n in names if level == 0 or dice.random() < chance)
        place = Place(keep, block=dice.choice((1, 2, 4, 8)) if blocks else 1)
        if limited:
            place = replace(
                place,
                capacity=dice.choice((None, 1, 2, 3, 5, 8, 1000)),
                rule=dice.choice(("worst", "expected", 0.01, 0.5, 0.5, 0.9, 0.99)),
                read_bandwidth=dice.choice((None, None, 1.0, 2.5)),
                write_bandwidth=dice.choice((None, None, 1.0, 0.5)),
                shared_bandwidth=dice.choice((None, None, 1.0, 4.0)),
            )
            if level and isinstance(place.rule, float) and dice.random() < 0.7:
                place = replace(place, keep=frozenset(dice.sample(names, 1)))
        places.append(place)
    return tuple(places)


def _packed(dice: random.Random, spec: Specification) -> Specification:
    """Fewer physical lanes than positions, and waves, at levels that pack."""
    places = list(spec.places)
    for level in {saf.level for saf in spec.sparse.safs if saf.kind == "spatial_skip"}:
        used = spec.lanes(level)
        lanes = tuple(dice.choice([n for n in (1, 2, 3, 4, 8) if n <= m] + [m]) for m in used)
        chosen = None if dice.random() < 0.4 else (lanes[0], lanes[1])
        places[level] = replace(places[level], waves=dice.random() < 0.6, lanes=chosen)
    return replace(spec, places=tuple(places))


# --- formats and features -----------------------------------------------------------------------------------


def _sparse(dice: random.Random, spec: Specification) -> Sparse:
    timeloop = dice.random() < 0.1
    count = dice.choice((0, 1, 1, 2, 2, 3, 4)) if len(spec.tensors) > 1 else 0
    safs = [_saf(dice, spec) for _ in range(count)]
    formats = _formats(dice, spec, timeloop) if dice.random() < 0.75 else {}
    return Sparse(
        formats=formats,
        safs=tuple(safs),
        compute_skip=dice.random() < 0.25,
        compute_gate=dice.random() < 0.2,
        implied_skips=not timeloop and dice.random() < 0.85,
        timeloop_reading=timeloop,
    )


def _with_partials(dice: random.Random, spec: Specification) -> Specification:
    """Some results that are made come and go otherwise than as whole copies, level by level."""
    levels = range(len(spec.places))
    if not spec.output.density.produced or spec.sparse.timeloop_reading or dice.random() < 0.6:
        return spec
    alike: Partials = dice.choice(("changed", "add"))
    modes: dict[int, Partials] = {at: alike if dice.random() < 0.7 else dice.choice(PARTIALS) for at in levels}
    found = replace(spec, sparse=replace(spec.sparse, partials=modes))
    return found if found.einsum().tensors[-1].density.produced else spec  # others are dense, whatever comes and goes


def _saf(dice: random.Random, spec: Specification) -> Saf:
    """Leaders are mostly operands, sparse ones where there are any; a tensor may lead itself, and the result may lead."""
    names, levels = [t.name for t in spec.tensors], len(spec.places)
    follower = dice.choice(names)
    sparse = [t.name for t in spec.tensors[:-1] if not t.density.dense]
    operands = sparse if sparse and dice.random() < 0.6 else names[:-1]
    leaders = dice.sample(operands, min(len(operands), dice.choice((1, 1, 1, 2, 2, 3))))
    if dice.random() < 0.1:
        leaders[0] = names[-1]
    kind = dice.choice(KINDS)
    if kind == "spatial_skip" and dice.random() < 0.5:
        leaders = [follower]
    intersection = dice.choice(("two_finger", "two_finger", "two_finger", "leader_follower", "leader_follower", "skip_ahead"))
    return Saf(kind=kind, level=dice.randrange(levels), follower=follower, leaders=tuple(leaders), intersection=intersection)


def _formats(dice: random.Random, spec: Specification, timeloop: bool) -> dict[tuple[int, str], TensorFormat]:
    """Per tensor the format of its innermost compressed level; further out the same or one with more ranks on top."""
    found = dict[tuple[int, str], TensorFormat]()
    for tensor in spec.tensors:
        if dice.random() < 0.35:
            continue
        ranks = tuple(dict.fromkeys(tensor.ranks))
        form = _format(dice, ranks, timeloop)
        keepers = [level for level, place in enumerate(spec.places) if tensor.name in place.keep]
        for level in reversed(keepers[: dice.randint(1, len(keepers))] if keepers else []):
            found[level, tensor.name] = form
            if dice.random() < 0.2 and form.compressed:
                upper: tuple[FormatKind, ...] = tuple(dice.choice(("U", "UOP", "UB")) for _ in range(dice.choice((1, 1, 2))))
                form = replace(form, ranks=(*(RankFormat(kind=k) for k in upper), *form.ranks))
    return found


def _format(dice: random.Random, ranks: tuple[str, ...], timeloop: bool) -> TensorFormat:
    """A list of rank formats without a compressed rank above an uncompressed one."""
    style = dice.choice(("compressed", "compressed", "flat", "flat", "plain"))
    kinds: list[FormatKind]
    groups: tuple[tuple[str, ...], ...] = ()
    if style == "flat":
        kinds = list(dice.choice((("RLE",), ("B",), ("CP",), ("UOP", "CP"), ("UOP", "RLE"), ("UOP",), ("UB",))))
        groups = (ranks,) if ranks else ()
    elif style == "plain":
        kinds = [dice.choice(("UB", "UOP", "U")) for _ in range(dice.randint(1, 3))]
    else:
        kinds = [dice.choice(("UOP", "UOP", "U", "UB")) for _ in range(dice.choice((0, 0, 1, 2)))]
        kinds += [dice.choice(("CP", "B", "RLE")) for _ in range(dice.choice((1, 1, 2)))]
    widths = dice.choice(((None, None), (None, None), (5, None), (3, 7)))
    made = tuple(RankFormat(kind=k, groups=groups, metadata_bits=widths[0], payload_bits=widths[1]) for k in kinds)
    order = dice.choice(("outer_to_inner", "outer_to_inner", "outer_to_inner", "inner_to_outer"))
    return TensorFormat(ranks=made, order=order, automatic=not timeloop)


def small(spec: Specification, limits: Limits = Limits()) -> bool:
    """Does the walker get through it quickly?"""
    return spec.visited <= 2 * limits.points and prod(spec.shape.values()) <= limits.points
