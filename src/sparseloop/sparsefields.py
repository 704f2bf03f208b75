"""Joint non-emptiness of large sparse patterns: the means of `fields`, from lists of non-empty tiles only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .density.index import Integers, distinct, unravelled
from .plan import Plan

Bounds = tuple[int, ...]
Counts = tuple[tuple[int, tuple[int, ...]], ...]
"""Per condition: tensor and the covered values of every slot."""
LARGE = 2**20
"""Number of elements from which a pattern with many zeros is taken as a list."""
KEPT = 4
"""Lists remembered per pattern."""
SPARSE = 8
"""Elements per non-zero from which a list is shorter than the pattern."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Points over some slots, each once, with a weight: everywhere else the field is 0."""

    slots: tuple[int, ...]
    keys: Integers
    """Row-major number of the index values of `slots`."""
    weights: Any

    def onto(self, kept: tuple[int, ...], bounds: Bounds) -> Entries:
        """Summed over all other slots."""
        if kept == self.slots:
            return self
        keys, weights = distinct(_numbered(self, kept, bounds), self.weights)
        return Entries(kept, keys, weights)

    def at_start(self, first: tuple[int, ...], bounds: Bounds) -> Entries:
        """Only where the slots of `first` stand at 0, without those slots."""
        index = dict(zip(self.slots, unravelled(self.keys, tuple(bounds[s] for s in self.slots)), strict=True))
        chosen = np.ones(len(self.keys), dtype=np.bool_)
        for slot in set(first) & set(self.slots):
            chosen &= index[slot] == 0
        kept = tuple(s for s in self.slots if s not in first)
        return Entries(kept, _numbered(self, kept, bounds)[chosen], self.weights[chosen])


def _numbered(entries: Entries, kept: tuple[int, ...], bounds: Bounds) -> Integers:
    """Row-major number of the values of the kept slots, per entry."""
    index = dict(zip(entries.slots, unravelled(entries.keys, tuple(bounds[s] for s in entries.slots)), strict=True))
    keys = np.zeros(len(entries.keys), dtype=np.int64)
    for slot in kept:
        keys *= bounds[slot]
        keys += index[slot]
    return keys


def sparse_is_better(plan: Plan, tensor: int) -> bool:
    """True for a large pattern with many zeros."""
    model = plan.einsum.tensors[tensor].density
    return model.total >= LARGE and model.density * SPARSE <= 1


def sparse_mean(plan: Plan, bounds: Bounds, counts: Counts, first: tuple[int, ...]) -> float | None:
    """Share of the points of the nest at which every condition's tile holds a non-zero; None if lists do not serve.

    They serve for projections that are plain ranks.
    """
    unit = all(c == 1 for tensor, _ in counts for axis in plan.axes[tensor] for _, c in axis)
    if not unit or not all(plan.plain[tensor] for tensor, _ in counts) or (len(counts) > 2 and math.prod(bounds) >= 2**63):
        return None
    operands = [tile_entries(plan, bounds, tensor, count) for tensor, count in counts]
    everything, size = _contract(operands, bounds, set(first))
    if not first:
        return everything / size
    start, start_size = _contract([o.at_start(first, bounds) for o in operands], bounds, set())
    involved = {s for o in operands for s in o.slots} | set(first)
    start_size *= math.prod(bounds[s] for s in involved - set(first) - {s for o in operands for s in o.slots})
    return (everything - start) / (size - start_size) if size > start_size else everything / size


def _contract(operands: list[Entries], bounds: Bounds, also: set[int]) -> tuple[float, float]:
    """Sum over all index values of the product of the fields, and the number of index values."""
    involved = {s for o in operands for s in o.slots}
    rest = list(operands)
    while len(rest) > 1:
        last = rest.pop()
        others = {s for o in rest for s in o.slots}
        last = last.onto(tuple(s for s in last.slots if s in others), bounds)
        at = max(range(len(rest)), key=lambda i: len(set(rest[i].slots) & set(last.slots)))
        rest[at] = _product(rest[at], last, bounds, [o for i, o in enumerate(rest) if i != at])
    value = float(rest[0].weights.sum()) * math.prod(bounds[s] for s in also - involved)
    return value, float(math.prod(bounds[s] for s in involved | also))


def _product(one: Entries, two: Entries, bounds: Bounds, others: list[Entries]) -> Entries:
    """The product of two fields over the union of their slots; slots of `one` that nobody else has are summed first."""
    needed = set(two.slots) | {s for o in others for s in o.slots}
    one = one.onto(tuple(s for s in one.slots if s in needed), bounds)
    shared = tuple(s for s in one.slots if s in two.slots)
    extra = tuple(s for s in two.slots if s not in shared)
    mine, theirs = _numbered(one, shared, bounds), _numbered(two, shared, bounds)
    order = np.argsort(theirs, kind="stable")
    low = np.searchsorted(theirs[order], mine, "left")
    many = np.searchsorted(theirs[order], mine, "right") - low
    owner = np.repeat(np.arange(len(mine)), many)
    match = order[np.arange(len(owner)) - np.repeat(np.cumsum(many) - many, many) + low[owner]]
    keys = one.keys[owner] * math.prod(bounds[s] for s in extra) + _numbered(two, extra, bounds)[match]
    return Entries((*one.slots, *extra), keys, one.weights[owner] * two.weights[match])


def tile_entries(plan: Plan, bounds: Bounds, tensor: int, counts: tuple[int, ...]) -> Entries:
    """Where the tile of a tensor holds a non-zero, over its uncovered slots.

    A loop covered in part is cut into aligned pieces of the covered length.
    """
    slots = tuple(s for s in sorted(plan.relevant[tensor]) if bounds[s] > 1 and counts[s] < bounds[s])
    model = plan.einsum.tensors[tensor].density
    strides = {s: _stride(plan, bounds, s) for s in plan.relevant[tensor]}
    finest = [_finest(axis, slots, strides, extent) for axis, extent in zip(plan.axes[tensor], model.shape, strict=True)]
    index = model.coordinates()
    question = (slots, tuple((strides[s], bounds[s], counts[s]) for s in slots), plan.axes[tensor])
    if question not in index.answers:
        if len(index.answers) >= KEPT:
            index.answers.pop(next(iter(index.answers)))
        index.answers[question] = _entries(plan, tensor, (slots, bounds, counts), (strides, finest))
    return index.answers[question]


def _entries(
    plan: Plan,
    tensor: int,
    tile: tuple[tuple[int, ...], Bounds, tuple[int, ...]],
    steps: tuple[dict[int, int], list[int]],
) -> Entries:
    (slots, bounds, counts), (strides, finest) = tile, steps
    model = plan.einsum.tensors[tensor].density
    blocks, _ = model.coordinates().blocks(tuple(finest))
    places = unravelled(blocks, tuple(-(-s // f) for s, f in zip(model.shape, finest, strict=True)))
    keys = np.zeros(len(blocks), dtype=np.int64)
    owner = {slot: axis for axis, terms in enumerate(plan.axes[tensor]) for slot, _ in terms}
    for slot in slots:
        index = places[owner[slot]] // (strides[slot] // finest[owner[slot]]) % bounds[slot]
        keys = keys * -(-bounds[slot] // counts[slot]) + index // counts[slot]
    keys, _ = distinct(keys)
    return _repeated(keys, slots, bounds, counts)


def _finest(axis: tuple[tuple[int, int], ...], slots: tuple[int, ...], strides: dict[int, int], extent: int) -> int:
    """Length of the blocks along an axis that all uncovered loops step over: the smallest of their strides."""
    return min((strides[s] for s, _ in axis if s in slots), default=extent)


def _repeated(keys: Integers, slots: tuple[int, ...], bounds: Bounds, counts: tuple[int, ...]) -> Entries:
    """Entries of pieces as entries of all their index values."""
    pieces = tuple(-(-bounds[s] // counts[s]) for s in slots)
    index = unravelled(keys, pieces)
    for place, slot in enumerate(slots):
        if counts[slot] > 1:
            start = index[place] * counts[slot]
            many = np.minimum(counts[slot], bounds[slot] - start)
            owner = np.repeat(np.arange(len(start)), many)
            index = [i[owner] for i in index]
            index[place] = start[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(many) - many, many)
    keys = np.zeros(len(index[0]) if index else len(keys), dtype=np.int64)
    for i, slot in zip(index, slots, strict=True):
        keys = keys * bounds[slot] + i
    return Entries(slots, keys, np.ones(len(keys)))


def _stride(plan: Plan, bounds: Bounds, slot: int) -> int:
    rank = plan.slots[slot].rank
    return math.prod(bounds[i] for i in range(slot + 1, len(bounds)) if plan.slots[i].rank == rank)
