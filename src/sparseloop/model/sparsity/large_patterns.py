"""Joint non-emptiness of large sparse patterns: as in `known_patterns`, with indicators as lists of non-empty tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from sparseloop.model.density.index import Integers, distinct_keys, present, remainder, unravelled
from sparseloop.model.plan import Plan
from sparseloop.model.sparsity.nest_points import Nest, Row

LARGE = 2**20
"""Number of elements from which a pattern with many zeros is taken as a list."""
KEPT = 4
"""Lists remembered per pattern: as many as have so many times its non-zeros together."""
SUMS = 8
"""Sums remembered per list."""
CHUNK = 2**16
"""ListedIndicator numbered at once."""
SPARSE = 8
"""Elements per non-zero from which a list is shorter than the pattern."""


class TileInData(NamedTuple):
    """The tile of a tensor that a condition asks for."""

    tensor: int
    covered: Row
    """Consecutive values that every loop runs over."""


@dataclass(frozen=True, slots=True, eq=False)
class ListedIndicator:
    """Points over some slots, each once, with a weight: everywhere else the indicator is 0."""

    slots: tuple[int, ...]
    keys: Integers
    """Row-major number of the index values of `slots`."""
    weights: Any = None
    """None: all 1."""
    sums: dict[tuple[int, ...], ListedIndicator] = field(default_factory=dict[tuple[int, ...], "ListedIndicator"], repr=False)
    """Sums over all slots but these, as asked before."""

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(len(self.keys)) if self.weights is None else float(self.weights.sum())

    def onto(self, kept: tuple[int, ...], bounds: Row) -> ListedIndicator:
        """Summed over all other slots."""
        if kept == self.slots:
            return self
        if kept not in self.sums:
            if len(self.sums) >= SUMS:
                self.sums.pop(next(iter(self.sums)))
            size = math.prod(bounds[s] for s in kept)
            self.sums[kept] = ListedIndicator(kept, *_summed(_numbered(self, kept, bounds), self.weights, size))
        return self.sums[kept]

    def spread(self, kept: tuple[int, ...], bounds: Row) -> Any:
        """Sums per index value of `kept`, one axis each; an axis of length 1 where the slot decides nothing."""
        told = tuple(s for s in kept if s in self.slots)
        summed = self.onto(told, bounds)
        sums = np.zeros(math.prod(bounds[s] for s in told))
        sums[summed.keys] = 1.0 if summed.weights is None else summed.weights
        return sums.reshape([bounds[s] if s in told else 1 for s in kept])

    def within(self, box: Mapping[int, range], bounds: Row) -> ListedIndicator:
        """Only where its slots stand at these index values."""
        kept: Any = None
        for slot in self.slots:
            digits = box.get(slot, range(bounds[slot]))
            if len(digits) < bounds[slot]:
                at = _numbered(self, (slot,), bounds)
                inside = (at >= digits.start) & (at < digits.stop)
                kept = inside if kept is None else kept & inside
        if kept is None:
            return self
        return ListedIndicator(self.slots, self.keys[kept], None if self.weights is None else self.weights[kept])


def _summed(keys: Integers, weights: Any, size: int) -> tuple[Integers, Any]:
    """The different keys (all below `size`), ascending, and the sum of the weights of each."""
    if size > 4 * len(keys):
        kept, sums = distinct_keys(keys, weights)
        return kept, sums.astype(np.float64)
    table = np.bincount(keys, weights, minlength=size)
    kept = np.flatnonzero(table if weights is None else np.bincount(keys, minlength=size))
    return kept, table[kept].astype(np.float64)


def _numbered(points: ListedIndicator, kept: tuple[int, ...], bounds: Row | Mapping[int, int]) -> Integers:
    """Row-major number of the values of the kept slots, per point; neighbouring slots are taken out together."""
    runs: list[tuple[int, int, int]] = []  # what lies inside of it, its own span, whether something lies outside
    rest = list(kept)
    while rest:
        start = points.slots.index(rest[0])
        stop = start + 1
        while stop - start < len(rest) and stop < len(points.slots) and points.slots[stop] == rest[stop - start]:
            stop += 1
        inner, span = (math.prod(bounds[s] for s in part) for part in (points.slots[stop:], points.slots[start:stop]))
        runs.append((inner, span, start))
        rest = rest[stop - start :]

    def number(keys: Integers) -> Integers:
        result = np.zeros(len(keys), dtype=np.int64)
        for inner, span, start in runs:
            result *= span
            result += _part(keys, inner, span if start else 0)
        return result

    return _chunked(points.keys, number)


def _chunked(keys: Integers, number: Callable[[Integers], Integers]) -> Integers:
    """`number` of all keys, by pieces that stay in the cache."""
    result = np.empty(len(keys), dtype=np.int64)
    for start in range(0, len(keys), CHUNK):
        result[start : start + CHUNK] = number(keys[start : start + CHUNK])
    return result


def _part(keys: Integers, inner: int, span: int) -> Integers:
    """keys // inner % span (span 0: no remainder), by divisions by one number, which are quicker than remainders."""
    part = keys // inner if inner > 1 else keys
    return remainder(part, part // span, span) if span else part


def is_better_listed(plan: Plan, tensor: int) -> bool:
    """True for a large pattern with many zeros."""
    model = plan.einsum.tensors[tensor].density.answering  # the pattern itself, also where its answers are traced
    return model.total >= LARGE and model.density * SPARSE <= 1


def listed_mean(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> float | None:
    """Share of the points of the nest at which every condition's tile holds a non-zero; None if lists do not serve.

    Points at which all slots of `first` stand at 0 are left out. Lists serve for projections that are plain ranks, unless points
    that must be told apart have numbers above 2^63.
    """
    plan, bounds = nest.plan, nest.bounds
    if not serves(plan, asked):
        return None
    operands = [listed_indicator(plan, bounds, one) for one in asked]
    ranks = {rank for one in asked for rank in plan.einsum.tensors[one.tensor].ranks} | {plan.loops[s].rank for s in first}
    value = size = 0.0
    for box in boxes(nest, ranks):
        start = {**box, **{s: range(min(1, len(box[s]) if box[s].start == 0 else 0)) for s in first}}
        for part, sign in ((box, 1.0), *([(start, -1.0)] if first else [])):
            points = math.prod(len(digits) for digits in part.values())
            if not points:
                continue
            joint = _joined([one.within(part, bounds) for one in operands], bounds, ())
            if joint is None:
                return None
            size += sign * points
            value += sign * joint.total * math.prod(len(part[s]) for s in part if not any(s in o.slots for o in operands))
    return value / size if size else 1.0


def boxes(nest: Nest, ranks: Iterable[str]) -> Iterator[dict[int, range]]:
    """The existing points, cut into boxes of index values of the slots of these ranks; one box if all factors are perfect.

    The values of a rank run up to the last index of every loop; they are those where all loops outside one stand at their last
    index and that one before it, for one after the other, and the very last value.
    """
    along: list[list[dict[int, range]]] = []
    for rank in sorted(ranks):
        slots = list(reversed(nest.plan.of_rank.get(rank, ())))
        bounds, last = ([of[s] for s in slots] for of in (nest.bounds, nest.residuals))
        pieces = [dict(zip(slots, map(range, bounds), strict=True))]
        if bounds != last:
            cuts = [
                [*(range(n - 1, n) for n in last[:at]), range(last[at] - 1), *map(range, bounds[at + 1 :])]
                for at in range(len(slots))
            ]
            cuts.append([range(n - 1, n) for n in last])
            pieces = [dict(zip(slots, cut, strict=True)) for cut in cuts if all(map(len, cut))]
        along.append(pieces)
    for chosen in product(*along):
        yield {slot: digits for piece in chosen for slot, digits in piece.items()}


def listed_counts(plan: Plan, bounds: Row, asked: tuple[TileInData, ...], kept: tuple[int, ...]) -> Any:
    """Number of points at which every condition's tile holds a non-zero, per index value of `kept`; None as above."""
    if not serves(plan, asked):
        return None
    joint = _joined([listed_indicator(plan, bounds, one) for one in asked], bounds, kept)
    if joint is None:
        return None
    return np.broadcast_to(joint.spread(kept, bounds), tuple(bounds[s] for s in kept))


def serves(plan: Plan, asked: tuple[TileInData, ...]) -> bool:
    """True if lists serve: all projections are plain ranks."""
    unit = all(c == 1 for tensor, _ in asked for axis in plan.axes[tensor] for _, c in axis)
    return unit and all(plan.plain[tensor] for tensor, _ in asked)


def joined(operands: Sequence[ListedIndicator], bounds: Row) -> ListedIndicator | None:
    """The product of the indicators over all slots of theirs; None if points have numbers above 2^63."""
    return _joined(list(operands), bounds, tuple({s for one in operands for s in one.slots}))


def listed_work(nest: Nest, asked: tuple[TileInData, ...], kept: tuple[int, ...]) -> Any:
    """Number of points of the nest at which every condition's tile holds a non-zero, per index value of `kept`; None as above."""
    plan, bounds = nest.plan, nest.bounds
    if not serves(plan, asked):
        return None
    operands = [listed_indicator(plan, bounds, one) for one in asked]
    work = np.zeros([bounds[s] for s in kept])
    for box in boxes(nest, plan.einsum.ranks):
        joint = _joined([one.within(box, bounds) for one in operands], bounds, kept)
        if joint is None:
            return None
        place = tuple(slice(box[s].start, box[s].stop) for s in kept)
        part = joint.spread(kept, bounds)
        part = part[tuple(at if s in joint.slots else slice(None) for s, at in zip(kept, place, strict=True))]
        work[place] += part * math.prod(len(digits) for s, digits in box.items() if s not in joint.slots and s not in kept)
    return work


def _joined(operands: list[ListedIndicator], bounds: Row, kept: tuple[int, ...]) -> ListedIndicator | None:
    """The product of the indicators, summed over slots that are not kept where that shortens the lists; None as above."""
    rest = list(operands)
    while len(rest) > 1:
        last = rest.pop()
        others = {s for o in rest for s in o.slots} | set(kept)
        last = last.onto(tuple(s for s in last.slots if s in others), bounds)
        at = max(range(len(rest)), key=lambda i: len(set(rest[i].slots) & set(last.slots)))
        needed = {s for i, o in enumerate(rest) if i != at for s in o.slots} | set(kept)
        joint = _product(rest[at], last, bounds, needed)
        if joint is None:
            return None
        rest[at] = joint
    return rest[0]


def _product(one: ListedIndicator, two: ListedIndicator, bounds: Row, needed: set[int]) -> ListedIndicator | None:
    """The product of two indicators over the union of their slots; slots of `one` that nobody needs are summed first."""
    one = one.onto(tuple(s for s in one.slots if s in needed or s in two.slots), bounds)
    shared = tuple(s for s in one.slots if s in two.slots)
    extra = tuple(s for s in two.slots if s not in shared)
    if math.prod(bounds[s] for s in (*one.slots, *extra)) >= 2**63:
        return None
    mine, theirs = _numbered(one, shared, bounds), _numbered(two, shared, bounds)
    owner, match = _matches(mine, theirs)
    keys = one.keys[owner] * math.prod(bounds[s] for s in extra) + _numbered(two, extra, bounds)[match]
    parts = [e.weights[chosen] for e, chosen in ((one, owner), (two, match)) if e.weights is not None]
    return ListedIndicator((*one.slots, *extra), keys, parts[0] * parts[1] if len(parts) == 2 else parts[0] if parts else None)


def _matches(mine: Integers, theirs: Integers) -> tuple[Integers, Integers]:
    """Places of all pairs of equal numbers."""
    rising = bool((theirs[1:] >= theirs[:-1]).all())
    order = np.arange(len(theirs)) if rising else np.argsort(theirs, kind="stable")
    theirs = theirs if rising else theirs[order]
    low = np.searchsorted(theirs, mine, "left")
    many = np.searchsorted(theirs, mine, "right") - low
    owner = np.repeat(np.arange(len(mine)), many)
    return owner, order[np.arange(len(owner)) - np.repeat(np.cumsum(many) - many, many) + low[owner]]


def listed_indicator(plan: Plan, bounds: Row, asked: TileInData) -> ListedIndicator:
    """Where the tile of a tensor holds a non-zero, over its uncovered slots.

    A loop covered in part is cut into aligned pieces of the covered length. The latest answers are kept with the pattern, as long
    as they have no more than KEPT times its non-zeros together.
    """
    tensor, covered = asked
    slots = tuple(s for s in sorted(plan.relevant[tensor]) if bounds[s] > 1 and covered[s] < bounds[s])
    model = plan.einsum.tensors[tensor].density
    strides = {s: _stride(plan, bounds, s) for s in plan.relevant[tensor]}
    index = model.coordinates()
    question = (plan.axes[tensor], frozenset((s, strides[s], bounds[s], covered[s]) for s in slots))
    answer = index.answers.pop(question, None)
    if answer is None:
        answer = _from_finer(index.answers, question, slots, bounds)
    if answer is None:
        finest = [_finest(axis, slots, strides, extent) for axis, extent in zip(plan.axes[tensor], model.shape, strict=True)]
        answer = _from_blocks(plan, asked, bounds, _Steps(slots, strides, finest))
    index.answers[question] = answer
    while len(index.answers) > 1 and sum(len(e.keys) for e in index.answers.values()) > KEPT * len(index.flat):
        index.answers.pop(next(iter(index.answers)))
    return answer


def _from_finer(
    answers: dict[Any, ListedIndicator], question: Any, slots: tuple[int, ...], bounds: Row
) -> ListedIndicator | None:
    """From the shortest list remembered that tells apart all these index values, and more.

    Its other loops may have other bounds here: those that it was made with number its points.
    """
    axes, asked = question
    finer = [(told, points) for (where, told), points in answers.items() if where == axes and told > asked]
    if not finer:
        return None
    told, source = min(finer, key=lambda one: len(one[1].keys))
    own = dict(enumerate(bounds)) | {slot: bound for slot, _, bound, _ in told}
    return ListedIndicator(slots, present(_numbered(source, slots, own), math.prod(bounds[s] for s in slots)))


@dataclass(frozen=True, slots=True)
class _Steps:
    """How the loops of a tensor step over its pattern."""

    slots: tuple[int, ...]
    """Those that are not covered."""
    strides: dict[int, int]
    """Slot to the elements that one step passes."""
    finest: list[int]
    """Per axis the length of the blocks that all uncovered loops step over."""


def _from_blocks(plan: Plan, asked: TileInData, bounds: Row, steps: _Steps) -> ListedIndicator:
    """From the blocks of the pattern that are not empty."""
    slots, covered = steps.slots, asked.covered
    model = plan.einsum.tensors[asked.tensor].density
    blocks, _ = model.coordinates().blocks(tuple(steps.finest))
    shape = tuple(-(-s // f) for s, f in zip(model.shape, steps.finest, strict=True))
    owner = {slot: axis for axis, terms in enumerate(plan.axes[asked.tensor]) for slot, _ in terms}

    def number(flat: Integers) -> Integers:
        coordinates = unravelled(flat, shape)
        keys = np.zeros(len(flat), dtype=np.int64)
        for slot in slots:
            index = _part(coordinates[owner[slot]], steps.strides[slot] // steps.finest[owner[slot]], bounds[slot])
            keys *= -(-bounds[slot] // covered[slot])
            keys += index // covered[slot]
        return keys

    keys = present(_chunked(blocks, number), math.prod(-(-bounds[s] // covered[s]) for s in slots))
    if any(covered[s] > 1 for s in slots):
        return _repeated(keys, slots, bounds, covered)
    return ListedIndicator(slots, keys)


def _finest(axis: tuple[tuple[int, int], ...], slots: tuple[int, ...], strides: dict[int, int], extent: int) -> int:
    """Length of the blocks along an axis that all uncovered loops step over: the smallest of their strides."""
    return min((strides[s] for s, _ in axis if s in slots), default=extent)


def _repeated(keys: Integers, slots: tuple[int, ...], bounds: Row, covered: Row) -> ListedIndicator:
    """Points that stand for whole pieces of loops covered in part, as points for all index values."""
    pieces = tuple(-(-bounds[s] // covered[s]) for s in slots)
    index = unravelled(keys, pieces)
    for k, slot in enumerate(slots):
        if covered[slot] > 1:
            start = index[k] * covered[slot]
            lengths = np.minimum(covered[slot], bounds[slot] - start)
            owner = np.repeat(np.arange(len(start)), lengths)
            index = [i[owner] for i in index]
            index[k] = start[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    keys = np.zeros(len(index[0]) if index else len(keys), dtype=np.int64)
    for i, slot in zip(index, slots, strict=True):
        keys = keys * bounds[slot] + i
    return ListedIndicator(slots, keys)


def _stride(plan: Plan, bounds: Row, slot: int) -> int:
    rank = plan.loops[slot].rank
    return math.prod(bounds[i] for i in range(slot + 1, len(bounds)) if plan.loops[i].rank == rank)
