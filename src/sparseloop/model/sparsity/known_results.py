"""What a result of known operands holds at the visits of its copies, counted exactly from the list of contributions.

A visit comes later than a contribution if its temporal indices are greater. So per tile of the result, and per instance, only the
first contribution matters: at which pass of the outermost link, in that pass at which one of the next link, and so on
(`Progress.chain`). Visits with conditions on the operands are counted from the lists of tiles at which these hold, sorted by the
same indices: those after a place are a difference of two running sums.

Exact for perfect factors and tensors of plain ranks. With imperfect factors the passes that do not exist count as visits, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from sparseloop.model.density.base import Occupancy
from sparseloop.model.density.given_result import GivenResult
from sparseloop.model.density.index import distinct_keys
from sparseloop.model.rows import asked_by_rows
from sparseloop.model.sparsity.known_patterns import joint_list, mean_of_mapping, smallest
from sparseloop.model.sparsity.large_patterns import ListedIndicator, TileInData
from sparseloop.model.sparsity.nest_points import Nest, Row
from sparseloop.model.sparsity.partial_sums import Progress
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Integers, Share, Words

KEPT = 4
"""Lists of first contributions remembered by a result."""
Condition = tuple[int, Cover]
When = Literal["before", "after", "first"]
"""Is something there when a visit begins, or when it ends, or does its first contribution come in it?"""


def share_there(
    tiles: Tiles, result: Condition, others: tuple[Condition, ...], repeats: Cover | None, progress: Progress
) -> Share:
    """Share of the visits at which the tile of the result is there and all other conditions hold; mapping by mapping.

    `repeats`: visits at which all of these loops stand at index 0 are left out.
    """
    asking = _Asking(tiles, result, others, repeats, progress)
    return asked_by_rows("share of words that are there in the data", asking.columns(), asking.answer)


@dataclass(frozen=True)
class _Asking:
    """One question about a batch, and its numbers as columns."""

    tiles: Tiles
    result: Condition
    others: tuple[Condition, ...]
    repeats: Cover | None
    progress: Progress

    def columns(self) -> list[Any]:
        """Per slot: bounds, then what every cover covers."""
        tiles, slots = self.tiles, range(len(self.tiles.bounds))
        covers: list[Cover | None] = [self.result[1], *(cover for _, cover in self.others), self.repeats]
        for link in self.progress.chain:
            covers += [link.serves, link.within]
        columns: list[Any] = list(tiles.bounds)
        for cover in covers:
            columns += [1 if cover is None else tiles.count(cover[s], s) for s in slots]
        columns += [tiles.bounds[s] if tiles.residuals is None else tiles.residuals[s] for s in slots]
        return columns

    def answer(self, *numbers: float) -> float:
        """The share of one row."""
        row = tuple(map(int, numbers))
        plan, width = self.tiles.plan, len(self.tiles.bounds)
        parts = [row[at * width : (at + 1) * width] for at in range(4 + len(self.others) + 2 * len(self.progress.chain))]
        bounds, tile, others = parts[0], parts[1], parts[2 : 2 + len(self.others)]
        again, chain, last = parts[2 + len(self.others)], parts[3 + len(self.others) : -1], parts[-1]
        stages = [
            _Stage(
                serves=chain[2 * at],
                within=bounds if link.within is None else chain[2 * at + 1],
                lanes=tuple(s for s in link.lanes if bounds[s] > 1),
                restarts=link.restarts,
            )
            for at, link in enumerate(self.progress.chain)
        ]
        asked = tuple(TileInData(t, covered) for (t, _), covered in zip(self.others, others, strict=True))
        first = frozenset(s for s in range(width) if again[s] > 1)
        nest = Nest(plan, bounds, last)
        visits = _Visits(nest, self.result[0], tile, stages, first)
        if self.progress.implies_operands:
            alone = _Visits(nest, self.result[0], tile, [stage._replace(restarts=True) for stage in stages], first)
            return alone.share(None, "after") - (visits.share(None, "first") if self.progress.again else 0.0)
        when: When = "before" if self.progress.again else "after"
        conditions = joint_list(nest, smallest(nest, asked)) if asked else None
        if asked and conditions is None:  # too many points to be numbered: taken as independent
            return visits.share(None, when) * mean_of_mapping(nest, asked, ())
        return visits.share(conditions, when)


class _Stage(NamedTuple):
    """One link between the outermost copy of the result and the copy in question."""

    serves: Row
    within: Row
    lanes: tuple[int, ...]
    restarts: bool
    """Every visit begins with an empty copy."""


class _Segment(NamedTuple):
    """A stage's part of the number of a contribution."""

    lanes: tuple[int, ...]
    """Loops that tell copies apart."""
    passes: tuple[int, ...]
    """Loops that tell the visits of a copy apart, outermost first."""


class _Visits:
    """The visits of one mapping over which a tile of the result is looked at."""

    def __init__(self, nest: Nest, tensor: int, tile: Row, stages: Sequence[_Stage], first: frozenset[int]) -> None:
        self.nest, self.plan, self.bounds, self.first = nest, nest.plan, nest.bounds, first
        self.model = cast("GivenResult", self.plan.einsum.tensors[tensor].density.answering)
        busy = [s for s in range(len(self.bounds)) if self.bounds[s] > 1]
        relevant, loops = self.plan.relevant[tensor], self.plan.loops
        self.words = tuple(s for s in busy if s in relevant and tile[s] == 1)
        """Loops that tell tiles apart."""
        seen = set(self.words)
        self.segments = list[_Segment]()
        for at, stage in enumerate(stages):
            lanes = tuple(s for s in stage.lanes if s not in seen)
            seen.update(lanes)
            passes = tuple(
                s for s in busy if not loops[s].spatial and s not in seen and stage.serves[s] == 1 and stage.within[s] > 1
            )
            seen.update(passes)
            forgets = any(inner.restarts for inner in stages[at:])  # what earlier passes added is not there
            self.segments.append(_Segment((*lanes, *passes), ()) if forgets else _Segment(lanes, passes))
        self.visits = frozenset(s for s in busy if stages[-1].serves[s] == 1).union(seen)
        """Loops that tell visits apart."""
        self.apart = tuple(s for s in sorted(self.visits - seen) if loops[s].spatial and s not in relevant)
        """Lanes that are served one by one."""
        self.told = frozenset(s for s in busy if loops[s].rank in self.model.told)

    def share(self, conditions: ListedIndicator | None, when: When) -> float:
        """Share of the visits, but those of `self.first`, at which the tile is there when they begin, or end, or first comes."""
        visits = self.visits | (frozenset(conditions.slots) if conditions is not None else frozenset[int]())
        count = self._count(_Among(self, visits, conditions, frozenset()), when)
        size = float(math.prod(self.bounds[s] for s in visits))
        if self.first:
            count -= self._count(_Among(self, visits, conditions, self.first), when)
            size -= math.prod(self.bounds[s] for s in visits - self.first)
        return count / size if size > 0 else 1.0

    def _count(self, among: _Among, when: When) -> float:
        """Visits at which something is there: it came at an earlier pass of some link; or else in this very visit."""
        known, total = self.words, 0.0
        for at, segment in enumerate(self.segments):
            known += segment.lanes
            groups = self.prefixes(at)
            for number, slot in enumerate(segment.passes if when != "first" else ()):
                total += among.later(groups, (*known, *segment.passes[:number]), slot)
            known += segment.passes
        return total + among.at(self.prefixes(len(self.segments)), (*known, *self.apart)) if when != "before" else total

    # --- first contributions --------------------------------------------------------------------------------

    @cached_property
    def _order(self) -> tuple[int, ...]:
        """Loops in the order of the digits of a contribution's number."""
        inner = [s for segment in self.segments for s in (*segment.lanes, *segment.passes)]
        return tuple(s for s in (*self.words, *inner, *self.apart) if s in self.told)

    def prefixes(self, at: int) -> _Groups:
        """The first contributions, told apart as far as the passes of the link `at`; all of them for the last."""
        inner = [s for segment in self.segments[at + 1 :] for s in (*segment.lanes, *segment.passes)]
        rest = [s for s in (*inner, *self.apart) if s in self.told] if at < len(self.segments) else []
        order = self._order[: len(self._order) - len(rest)]
        codes = self._firsts
        if rest:
            codes = distinct_keys(codes // math.prod(self.bounds[s] for s in rest))[0]
        return _Groups(order, codes, self.bounds)

    @cached_property
    def _firsts(self) -> Integers:
        """Numbers of the contributions that are the first ones of their copies, ascending."""
        loops, strides = self.plan.loops, self.nest.strides()
        question = tuple((loops[s].rank, strides[s], self.bounds[s]) for s in self._order), self._cuts()
        answers = self.model.answers
        found = answers.pop(question, None)
        if found is None:
            found = np.zeros(0, dtype=np.int64)
            for values in self.model.contributions():
                number = self.nest.numbers(values, self._order)
                found = self._first_of(distinct_keys(np.concatenate([found, distinct_keys(number)[0]]))[0])
        answers[question] = found
        while len(answers) > KEPT:
            answers.pop(next(iter(answers)))
        return found

    def _cuts(self) -> tuple[tuple[int, int], ...]:
        """Per link: what lies inside its passes, and the span of its passes."""
        cuts, inside = list[tuple[int, int]](), math.prod(self.bounds[s] for s in self.apart if s in self.told)
        for segment in reversed(self.segments):
            span = math.prod(self.bounds[s] for s in segment.passes if s in self.told)
            cuts.insert(0, (inside, span))
            inside *= span * math.prod(self.bounds[s] for s in segment.lanes if s in self.told)
        return tuple(cuts)

    def _first_of(self, numbers: Integers) -> Integers:
        """Of ascending numbers those that no other one of the same copy comes before, link by link."""
        for inside, span in self._cuts():
            if span > 1 and len(numbers):
                visit = numbers // inside
                starts = np.flatnonzero(np.concatenate([[True], np.diff(visit // span) != 0]))
                earliest = np.repeat(visit[starts], np.diff(np.append(starts, len(visit))))
                numbers = numbers[visit == earliest]
        return numbers


class _Groups:
    """First contributions, one for each copy (or pass) of the result."""

    def __init__(self, order: tuple[int, ...], codes: Integers, bounds: Row) -> None:
        self.order, self.codes, self.bounds = order, codes, bounds
        self._digits: dict[int, Integers] = {}

    def __len__(self) -> int:
        return len(self.codes)

    def digit(self, slot: int) -> Any:
        """Index of a loop; 0 of loops along which contributions are alike."""
        if slot not in self.order:
            return 0
        if slot not in self._digits:
            at = self.order.index(slot)
            inside = math.prod(self.bounds[s] for s in self.order[at + 1 :])
            digit = self.codes // inside if inside > 1 else self.codes
            self._digits[slot] = digit % self.bounds[slot] if at else digit
        return self._digits[slot]

    def number(self, slots: Sequence[int]) -> Any:
        """Row-major number of the indices of some loops."""
        number: Any = np.zeros(len(self.codes), dtype=np.int64)
        for slot in slots:
            number = number * self.bounds[slot] + self.digit(slot)
        return number


@dataclass(frozen=True, eq=False)
class _Among:
    """Counts visits by where they stand beside first contributions."""

    of: _Visits
    visits: frozenset[int]
    conditions: ListedIndicator | None
    first: frozenset[int]
    """Loops that stand at index 0."""

    @cached_property
    def _holds(self) -> ListedIndicator | None:
        """Where the conditions hold, as far as these visits go."""
        bounds = self.of.bounds
        if self.conditions is None or not self.first:
            return self.conditions
        return self.conditions.within({s: range(1) for s in self.first}, bounds)

    def later(self, groups: _Groups, known: tuple[int, ...], slot: int) -> float:
        """Visits that agree with a group on the known loops, and have a larger index of `slot`; any of the others."""
        bounds = self.of.bounds
        if slot in self.first or not len(groups):
            return 0.0
        weight, same = self._weights(groups, known, slot)
        if self._holds is None or slot not in self._holds.slots:
            return float((weight * (bounds[slot] - 1 - groups.digit(slot)) * np.ones(len(groups))).sum())
        keys, before = self._sums((*same, slot))
        start = groups.number(same) * bounds[slot]
        found: Any = np.searchsorted
        low = found(keys, start + groups.digit(slot), "right")
        high = found(keys, start + bounds[slot] - 1, "right")
        return float((weight * (before[high] - before[low])).sum())

    def at(self, groups: _Groups, known: tuple[int, ...]) -> float:
        """Visits that agree with a group on all known loops."""
        return float((self._weights(groups, known, None)[0] * np.ones(len(groups))).sum())

    def _weights(self, groups: _Groups, known: tuple[int, ...], slot: int | None) -> tuple[Any, tuple[int, ...]]:
        """Per group: how many visits it stands for (but for `slot`), and the loops on which conditions agree with it."""
        bounds, holds = self.of.bounds, self._holds
        asked = frozenset(holds.slots) if holds is not None else frozenset[int]()
        free = self.visits.difference(known) - {slot}
        alike = [s for s in known if s not in groups.order and s not in self._passes and s not in self.first]
        weight: Any = float(math.prod(bounds[s] for s in (*(free - asked - self.first), *alike)))
        for s in self.first.intersection(known):
            weight = weight * (groups.digit(s) == 0)
        same = tuple(s for s in known if s in asked)
        if holds is not None and slot not in asked and not (slot is None and asked <= set(known)):
            keys, before = self._sums(same)
            number = groups.number(same)
            found = before[np.searchsorted(keys, number, "right")] - before[np.searchsorted(keys, number, "left")]
            weight = weight * found
        return weight, same

    @cached_property
    def _passes(self) -> frozenset[int]:
        return frozenset(s for segment in self.of.segments for s in segment.passes)

    def _sums(self, slots: tuple[int, ...]) -> tuple[Integers, Any]:
        """Numbers of the indices of some loops at which the conditions hold, and running sums of how often."""
        assert self._holds is not None
        listed = self._holds.onto(slots, self.of.bounds)
        keys = listed.keys
        weights = np.ones(len(keys)) if listed.weights is None else listed.weights
        if not (keys[1:] >= keys[:-1]).all():
            order = np.argsort(keys, kind="stable")
            keys, weights = keys[order], weights[order]
        return keys, np.concatenate([[0.0], np.cumsum(weights)])


# --- what copies hold that start empty ----------------------------------------------------------------------


class HeldInData:
    """Words of a result of known operands that a copy holds when a stay ends at whose beginning it was empty.

    `stay`: the tile, and what one copy serves of the contraction. Perfect factors, and a result with single ranks as indices.
    """

    def __init__(self, tiles: Tiles, tensor: int, stay: Cover) -> None:
        self.tiles, self.tensor = tiles, tensor
        self._columns = [*tiles.bounds, *(tiles.count(stay[s], s) for s in range(len(tiles.bounds)))]
        self._found: dict[Row, Occupancy] = {}

    @property
    def expected(self) -> Words:
        """Mean over all stays of all copies."""
        return self._asked(lambda held: held.mean)

    @property
    def worst(self) -> Words:
        """The largest number."""
        return self._asked(lambda held: float(held.values[-1]))

    def quantile(self, confidence: float) -> Words:
        """The number that is not exceeded in this share of the stays."""
        return self._asked(lambda held: held.quantile(confidence))

    def _asked(self, number: Callable[[Occupancy], float]) -> Words:
        return asked_by_rows("words that copies hold in the data", self._columns, lambda *row: number(self._of(row)))

    def _of(self, numbers: Sequence[float]) -> Occupancy:
        row = tuple(map(int, numbers))
        if row not in self._found:
            slots = len(row) // 2
            self._found[row] = self._counted(Nest(self.tiles.plan, row[:slots], row[:slots]), row[slots:])
        return self._found[row]

    def _counted(self, nest: Nest, stay: Row) -> Occupancy:
        plan, bounds = nest.plan, nest.bounds
        model = cast("GivenResult", plan.einsum.tensors[self.tensor].density.answering)
        told = [s for s in range(len(bounds)) if bounds[s] > 1 and plan.loops[s].rank in model.told]
        apart = [s for s in told if stay[s] == 1]
        words = [s for s in told if stay[s] > 1 and s in plan.relevant[self.tensor]]
        alike = math.prod(bounds[s] for s in plan.relevant[self.tensor] if stay[s] > 1 and s not in words)
        codes = np.zeros(0, dtype=np.int64)
        for values in model.contributions():
            number = distinct_keys(nest.numbers(values, (*apart, *words)))[0]
            codes = distinct_keys(np.concatenate([codes, number]))[0]
        held = distinct_keys(codes // math.prod(bounds[s] for s in words))[1]
        empty = math.prod(bounds[s] for s in apart) - len(held)
        counts, times = np.unique(held, return_counts=True)
        values = np.concatenate([[0.0] if empty else [], counts * float(alike)])
        weights = np.concatenate([[float(empty)] if empty else [], times])
        return Occupancy(values, weights / weights.sum())
