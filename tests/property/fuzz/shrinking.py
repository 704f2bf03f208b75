"""Making a specification smaller while the model and the walker still disagree about the same thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from sparseloop.model.design.einsum import Axis
from sparseloop.model.design.sparse import RankFormat, Saf, TensorFormat
from tests.property.fuzz.densities import RANDOM, Density
from tests.property.fuzz.padding import accepted
from tests.property.fuzz.specification import Operand, Place, Slot, Specification, ordered

Fails = Callable[[Specification], bool]


def smallest(spec: Specification, fails: Fails, seconds: float = 60.0) -> Specification:
    """Takes away one thing at a time as long as `fails` holds, largest steps first, until nothing can go or time is up."""
    end = time.monotonic() + seconds
    again = True
    while again and time.monotonic() < end:
        again = False
        for candidate in smaller(spec):
            if time.monotonic() > end:
                break
            if _whole(candidate) and fails(candidate):
                spec, again = candidate, True
                break
    return spec


def _whole(spec: Specification) -> bool:
    """Is it still a specification: the result named last, every feature about a tensor that is there?"""
    names = {t.name for t in spec.tensors}
    twins = [(t, spec.drawn_as(t)) for t in spec.tensors if t.density.of in names] if names else []
    if any(t.density.of and t.density.of not in names for t in spec.tensors) or any(a.axes != b.axes for a, b in twins):
        return False
    whole = all(saf.leaders and {saf.follower, *saf.leaders} <= names for saf in spec.sparse.safs) and bool(spec.places)
    return whole and accepted(spec)


def smaller(spec: Specification) -> Iterator[Specification]:
    """Everything that is one step simpler."""
    for level in range(len(spec.places)):
        yield from _without_level(spec, level)
    for tensor in spec.tensors[:-1]:
        yield _without_tensor(spec, tensor.name)
    yield from _loops(spec)
    yield from _features(spec)
    yield from _formats(spec)
    yield from _densities(spec)
    yield from _axes(spec)
    yield from _levels(spec)


# --- levels and tensors -------------------------------------------------------------------------------------


def _without_level(spec: Specification, level: int) -> Iterator[Specification]:
    """The loops of a level go to its outer neighbour (of the outermost: to the next); its features go."""
    if len(spec.places) == 1:
        return

    def moved(at: int) -> int:
        return at - 1 if at >= level and at > 0 else at

    slots = tuple(replace(s, level=moved(s.level)) for s in spec.slots)
    sparse = replace(
        spec.sparse,
        partials={moved(at): one for at, one in spec.sparse.partials.items() if at != level},
        formats={(moved(at), t): f for (at, t), f in spec.sparse.formats.items() if at != level},
        safs=tuple(replace(s, level=moved(s.level)) for s in spec.sparse.safs if s.level != level),
    )
    places = [place for i, place in enumerate(spec.places) if i != level]
    if level == 0:
        everything = frozenset(t.name for t in spec.tensors)
        places[0] = replace(places[0], keep=everything)
    kept = {
        name: frozenset((moved(at), t) for at, t in getattr(spec, name) if at != level)
        for name in ("no_temporal_reuse", "no_multicast")
    }
    smaller_one = replace(spec, slots=_one_each(slots), places=tuple(places), sparse=sparse)
    yield replace(smaller_one, no_temporal_reuse=kept["no_temporal_reuse"], no_multicast=kept["no_multicast"])


def _one_each(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Sorted, neighbouring loops of one rank, kind and level made one."""
    found = list[Slot]()
    for slot in ordered(slots):
        before = found[-1] if found else None
        if before and (before.rank, before.level, before.axis) == (slot.rank, slot.level, slot.axis):
            last = (before.last - 1) * slot.bound + slot.last
            found[-1] = replace(before, bound=before.bound * slot.bound, last=last)
        else:
            found.append(slot)
    return tuple(found)


def _without_tensor(spec: Specification, name: str) -> Specification:
    """An operand less; what it led or followed goes with it."""
    safs = tuple(
        replace(s, leaders=tuple(u for u in s.leaders if u != name))
        for s in spec.sparse.safs
        if s.follower != name and set(s.leaders) != {name}
    )
    formats = {key: f for key, f in spec.sparse.formats.items() if key[1] != name}
    return replace(
        spec,
        tensors=tuple(t for t in spec.tensors if t.name != name),
        places=tuple(replace(p, keep=p.keep - {name}) for p in spec.places),
        sparse=replace(spec.sparse, safs=safs, formats=formats),
        no_temporal_reuse=frozenset(p for p in spec.no_temporal_reuse if p[1] != name),
        no_multicast=frozenset(p for p in spec.no_multicast if p[1] != name),
        idle_ranks=spec.ranks,
    )


# --- loops --------------------------------------------------------------------------------------------------


def _loops(spec: Specification) -> Iterator[Specification]:
    """A loop less, shorter, perfect, temporal, further out."""
    for i in range(len(spec.slots)):
        yield replace(spec, slots=spec.slots[:i] + spec.slots[i + 1 :], idle_ranks=spec.ranks)
    for i, slot in enumerate(spec.slots):
        bounds = [n for n in (2, slot.bound // 2, slot.bound - 1) if 1 < n < slot.bound]
        shorter = [replace(slot, bound=n, last=min(n, slot.last)) for n in bounds]
        if slot.last != slot.bound:
            shorter.append(replace(slot, last=slot.bound))
            shorter += [replace(slot, last=n) for n in (1, slot.last - 1) if 0 < n < slot.last]
        if slot.axis is not None:
            shorter.append(replace(slot, axis=None))
        if slot.axis == "y":
            shorter.append(replace(slot, axis="x"))
        for one in shorter:
            yield replace(spec, slots=ordered((*spec.slots[:i], one, *spec.slots[i + 1 :])))


# --- features and formats -----------------------------------------------------------------------------------


def _features(spec: Specification) -> Iterator[Specification]:
    sparse = spec.sparse
    for i, saf in enumerate(sparse.safs):
        rest = sparse.safs[:i], sparse.safs[i + 1 :]
        yield replace(spec, sparse=replace(sparse, safs=rest[0] + rest[1]))
        for one in _simpler_features(saf):
            yield replace(spec, sparse=replace(sparse, safs=(*rest[0], one, *rest[1])))
    flags: dict[str, bool] = {"compute_skip": False, "compute_gate": False, "implied_skips": True, "timeloop_reading": False}
    for name, plain in flags.items():
        if getattr(sparse, name) is not plain:
            yield replace(spec, sparse=replace(sparse, **{name: plain}))
    for level in sparse.partials:
        yield replace(spec, sparse=replace(sparse, partials={at: one for at, one in sparse.partials.items() if at != level}))
    if spec.no_temporal_reuse:
        yield replace(spec, no_temporal_reuse=frozenset())
    if spec.no_multicast:
        yield replace(spec, no_multicast=frozenset())


def _simpler_features(saf: Saf) -> Iterator[Saf]:
    if len(saf.leaders) > 1:
        for leader in saf.leaders:
            yield replace(saf, leaders=tuple(u for u in saf.leaders if u != leader))
    if saf.intersection != "two_finger":
        yield replace(saf, intersection="two_finger")
    if saf.kind == "spatial_skip":
        yield replace(saf, kind="skip")
    if saf.level:
        yield replace(saf, level=saf.level - 1)


def _formats(spec: Specification) -> Iterator[Specification]:
    formats = spec.sparse.formats
    for tensor in {t for _, t in formats}:
        mine = {key: f for key, f in formats.items() if key[1] == tensor}
        without = {key: f for key, f in formats.items() if key[1] != tensor}
        yield replace(spec, sparse=replace(spec.sparse, formats=without))
        changed = [{key: one for key, f in mine.items() for one in [step(f)]} for step in _STEPS]
        changed += [{key: f for key, f in mine.items() if key != left} for left in mine]
        for candidate in changed:
            if candidate != mine:
                yield replace(spec, sparse=replace(spec.sparse, formats=without | candidate))


def _bare(form: TensorFormat) -> TensorFormat:
    return replace(form, ranks=tuple(RankFormat(kind=r.kind, groups=r.groups) for r in form.ranks))


_STEPS: tuple[Callable[[TensorFormat], TensorFormat], ...] = (
    lambda form: replace(form, ranks=form.ranks[1:] or form.ranks),
    lambda form: replace(form, ranks=form.ranks[:-1] or form.ranks),
    lambda form: replace(form, order="outer_to_inner"),
    _bare,
    lambda form: replace(form, ranks=tuple(replace(r, groups=()) for r in form.ranks)),
)


# --- densities, axes, sizes ---------------------------------------------------------------------------------


def _densities(spec: Specification) -> Iterator[Specification]:
    for i, tensor in enumerate(spec.tensors):
        if not tensor.density.dense:
            for density in (Density(), *_simpler_densities(tensor.density)):
                yield _with_tensor(spec, i, replace(tensor, density=density))


def _simpler_densities(density: Density) -> Iterator[Density]:
    if density.kind == "given":
        for i, bit in enumerate(density.bits):
            if not bit:
                yield replace(density, bits=(*density.bits[:i], True, *density.bits[i + 1 :]))
    elif density.kind in ("block", "even", *RANDOM):
        yield Density("uniform", 0.5)
        if density.inner != 1:
            yield replace(density, inner=1.0)
    elif density.kind == "uniform" and density.fraction not in (0.0, 0.5):
        yield replace(density, fraction=0.5)


def _axes(spec: Specification) -> Iterator[Specification]:
    for i, tensor in enumerate(spec.tensors):
        shaped = tensor.density.kind in ("block", "structured", "banded", "given")
        for a, axis in enumerate(tensor.axes):
            others = tensor.axes[:a], tensor.axes[a + 1 :]
            if not shaped:
                yield _with_tensor(spec, i, replace(tensor, axes=others[0] + others[1]))
            for one in _simpler_axes(axis):
                yield _with_tensor(spec, i, replace(tensor, axes=(*others[0], one, *others[1])))


def _simpler_axes(axis: Axis) -> Iterator[Axis]:
    if axis.size is not None:
        yield replace(axis, offset=0, size=None)
    elif axis.offset:
        yield replace(axis, offset=0)
    for t, term in enumerate(axis.terms):
        if len(axis.terms) > 1:
            yield replace(axis, terms=axis.terms[:t] + axis.terms[t + 1 :])
        if term.coefficient != 1:
            yield replace(axis, terms=(*axis.terms[:t], replace(term, coefficient=1), *axis.terms[t + 1 :]))


def _with_tensor(spec: Specification, index: int, tensor: Operand) -> Specification:
    tensors = (*spec.tensors[:index], tensor, *spec.tensors[index + 1 :])
    return replace(spec, tensors=tensors, idle_ranks=spec.ranks)


def _levels(spec: Specification) -> Iterator[Specification]:
    names = frozenset(t.name for t in spec.tensors)
    for level, place in enumerate(spec.places):
        simple: list[Place] = [replace(place, keep=names)]
        simple += [replace(place, keep=place.keep - {name}) for name in place.keep if level]
        bare: dict[str, object] = {
            "block": 1, "capacity": None, "rule": "worst", "read_bandwidth": None, "write_bandwidth": None,
            "shared_bandwidth": None, "lanes": None, "waves": False,
        }  # fmt: skip
        simple += [replace(place, **{name: value}) for name, value in bare.items()]
        for one in simple:
            if one != place and (len(one.keep) >= len(place.keep) or place.keep != names):
                yield replace(spec, places=(*spec.places[:level], one, *spec.places[level + 1 :]))
    used = {rank for t in spec.tensors for rank in t.ranks} | {slot.rank for slot in spec.slots}
    if set(spec.idle_ranks) - used:
        yield replace(spec, idle_ranks=tuple(r for r in spec.idle_ranks if r in used))
