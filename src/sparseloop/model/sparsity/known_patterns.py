"""Non-emptiness of known patterns (banded, given data): exact joint means over the loops' indices.

The indicator of a tile is an array over the loops that tell tiles apart (its slots): does the tile at these indices hold a
non-zero? Tensors that share ranks are correlated, so their indicators are multiplied before the mean is taken. `large_patterns`
does the same with lists.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, NamedTuple, cast

import numpy as np

from sparseloop.model.density.index import alike
from sparseloop.model.plan import Plan
from sparseloop.model.sparsity.large_patterns import (
    ListedIndicator,
    TileInData,
    is_better_listed,
    joined,
    listed_counts,
    listed_indicator,
    listed_mean,
    serves,
)
from sparseloop.model.sparsity.nest_points import Nest, NestPoints, Row, few_points
from sparseloop.model.traffic.tiles import Cover, Tiles
from sparseloop.model.units import Array, Integers, Share

MOST_WORDS = 2**24
"""Index values over which the indicator of a tile is spread out."""
SHARES = 2**16
"""Shares remembered per pattern."""


def mean_non_empty(tiles: Tiles, conditions: tuple[tuple[int, Cover], ...], repeats: Cover | None) -> Share:
    """Share of the points of the nest at which every condition's tile holds a non-zero; mapping by mapping.

    `conditions`: (tensor, cover). `repeats`: points at which all of these loops stand at index 0 are left out.
    """
    slots = range(len(tiles.bounds))
    columns: list[Array] = list(tiles.bounds)
    for _, cover in conditions:
        columns += [tiles.count(cover[i], i) for i in slots]
    columns += [1 if repeats is None else tiles.count(repeats[i], i) for i in slots]
    if tiles.residuals is not None:
        columns += [tiles.residuals[i] for i in slots]
    tensors = tuple(t for t, _ in conditions)
    if any(hasattr(c, "call") for c in columns):
        traced = next(c for c in columns if hasattr(c, "call"))
        return traced.call(_share_name(tiles.plan, conditions, repeats), _counter(tiles.plan, tensors), columns)
    return _counter(tiles.plan, tensors)(*columns)


def _share_name(plan: Plan, conditions: tuple[tuple[int, Cover], ...], repeats: Cover | None) -> str:
    """What derivations call a share, so that two of them are told apart: the tensors, and the loops that their tiles span."""
    parts = list[str]()
    for tensor, cover in conditions:
        name = plan.einsum.tensors[tensor].name
        spanned = [loop for i, loop in enumerate(plan.loops) if i in plan.relevant[tensor] and cover[i]]
        over = " ".join(f"{loop.rank}@{plan.arch.levels[loop.level].name}{f':{loop.axis}' * bool(loop.axis)}" for loop in spanned)
        parts.append(f"tiles of {name} over {over}" if over else f"words of {name}")
    left_out = ", repeats left out" if repeats is not None and any(repeats) else ""
    return f"share of non-empty {' and '.join(parts)} in the data{left_out}"


def _counter(plan: Plan, tensors: tuple[int, ...]) -> Any:
    """The mean as a function of columns of numbers: the bounds, what each condition covers, what is repeated; per slot.

    And the residuals of imperfect factors, if there are any.
    """
    width = len(plan.loops)

    def one(row: tuple[int, ...]) -> float:
        bounds = row[:width]
        asked = tuple(TileInData(t, row[width * (k + 1) : width * (k + 2)]) for k, t in enumerate(tensors))
        again, last = (row[width * (len(tensors) + k) : width * (len(tensors) + k + 1)] for k in (1, 2))
        first = tuple(i for i, n in enumerate(again) if n > 1)
        return mean_of_mapping(Nest(plan, bounds, last or bounds), asked, first)

    def evaluate(*columns: Array) -> Array:
        arrays = np.broadcast_arrays(*columns)
        if not arrays or arrays[0].ndim == 0:
            return one(tuple(int(a) for a in arrays))
        rows = np.rint(np.stack([a.reshape(-1) for a in arrays])).astype(np.int64)
        first, inverse = alike(_runs(plan, tensors, rows))
        values = np.array([one(tuple(row)) for row in rows[:, first].T.tolist()])
        return values[inverse].reshape(arrays[0].shape)

    return evaluate


def _runs(plan: Plan, tensors: tuple[int, ...], rows: Integers) -> Integers:
    """Columns that are equal where mappings ask the same question (see `_question`), for many mappings at once.

    Where loops are covered in part, or passes are shorter than others, the columns as they are.
    """
    width, conditions, count = len(plan.loops), len(tensors), int(rows.shape[1])
    bounds, covered = rows[:width], rows[width : (conditions + 2) * width].reshape(conditions + 1, width, count)
    some = covered > 1
    parts = (some & (covered < bounds))[:conditions]
    relevant = [plan.relevant[t] for t in tensors]
    if len(rows) > (conditions + 2) * width or any(parts[k, sorted(slots)].any() for k, slots in enumerate(relevant)):
        return rows
    columns: Integers = np.arange(count)
    found: list[Integers] = []
    for slots in plan.of_rank.values():
        asked = [k for k in range(conditions) if slots[0] in relevant[k]]
        sign, length = np.zeros((len(slots), count), dtype=np.int64), np.ones((len(slots), count), dtype=np.int64)
        place, last = np.full(count, -1), np.full(count, -1)
        for slot in slots:
            signs = sum((some[k, slot].astype(np.int64) << k for k in (*asked, conditions)), np.zeros(count, dtype=np.int64))
            told = bounds[slot] > 1
            place = place + (told & (signs != last))
            last = np.where(told, signs, last)
            sign[place[told], columns[told]] = signs[told]
            length[place[told], columns[told]] *= bounds[slot, told]
        if not asked:
            length[:, ~(sign > 0).any(axis=0)] = 1
        found += [sign, length]
    return np.concatenate(found)


def _ranks(plan: Plan, asked: tuple[TileInData, ...]) -> frozenset[str]:
    return frozenset(rank for one in asked for rank in plan.einsum.tensors[one.tensor].ranks)


def _mean_of_points(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> float:
    """The mean over the points that exist."""
    points = NestPoints(nest, _ranks(nest.plan, asked))
    weight = points.weight(range(len(nest.bounds)))
    if first:
        weight = weight * (points.code(first) > 0)
    left = weight
    for tensor, covered in asked:
        told = [s for s in sorted(nest.plan.relevant[tensor]) if covered[s] < nest.bounds[s]]
        piece, nonzero = points.code(told, covered), points.nonzero(tensor)
        some = np.zeros(int(piece.max()) + 1, dtype=np.bool_)
        some[piece[nonzero]] = True
        left = left * some[piece]
    total = float(weight.sum())
    return float(left.sum()) / total if total else 1.0


def mean_of_mapping(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> float:
    """The mean of one mapping; mappings that cut the data into the same tiles ask the same question, once."""
    plan, asked = nest.plan, smallest(nest, asked)
    question = _question(nest, asked, first)
    if question is None:
        return _found_mean(nest, asked, first)
    shares = plan.einsum.tensors[asked[0].tensor].density.coordinates().shares
    if question not in shares:
        if len(shares) >= SHARES:
            shares.clear()
        extents = _block(nest, asked, first)
        model = plan.einsum.tensors[asked[0].tensor].density
        shares[question] = _found_mean(nest, asked, first) if extents is None else 1.0 - model.tabulate(*extents).empty
    return shares[question]


def smallest(nest: Nest, asked: tuple[TileInData, ...]) -> tuple[TileInData, ...]:
    """Without the tiles that contain another one that is asked for: those are non-empty if it is."""

    def contains(large: TileInData, small: TileInData) -> bool:
        return large.tensor == small.tensor and all(
            large.covered[s] in (small.covered[s], nest.bounds[s]) or small.covered[s] == 1
            for s in nest.plan.relevant[large.tensor]
        )

    kept: list[TileInData] = []
    for at, one in enumerate(asked):
        if not any(
            contains(one, other) and not (contains(other, one) and after > at) for after, other in enumerate(asked) if after != at
        ):
            kept.append(one)
    return tuple(kept)


def _question(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> Hashable | None:
    """The question without its mapping: per rank the runs of index values that every tile covers, or does not, alike.

    None where passes are shorter than others, or loops are covered in part.
    """
    plan, bounds = nest.plan, nest.bounds
    if not nest.perfect:
        return None
    along: list[Hashable] = []
    for rank, slots in plan.of_rank.items():
        runs: list[tuple[tuple[bool | None, ...], int]] = []
        for slot in slots:
            if bounds[slot] == 1:
                continue
            if any(1 < one.covered[slot] < bounds[slot] for one in asked if slot in plan.relevant[one.tensor]):
                return None
            alike = (
                *(one.covered[slot] > 1 if slot in plan.relevant[one.tensor] else None for one in asked),
                True if slot in first else None,
            )
            if runs and runs[-1][0] == alike:
                runs[-1] = alike, runs[-1][1] * bounds[slot]
            else:
                runs.append((alike, bounds[slot]))
        if any(sign is not None for alike, _ in runs for sign in alike):
            along.append((rank, tuple(runs)))
    tensors = plan.einsum.tensors
    return tuple((tensors[one.tensor].axes, tensors[one.tensor].density.coordinates()) for one in asked), tuple(
        sorted(along, key=str)
    )


def _block(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> tuple[int, ...] | None:
    """The extents of the only tile that is asked for, if it is one of the aligned blocks of its tensor's pattern."""
    plan, bounds = nest.plan, nest.bounds
    tensor, covered = asked[0]
    if len(asked) > 1 or first or not plan.plain[tensor]:
        return None
    extents: list[int] = []
    for terms in plan.axes[tensor]:
        extent, closed = 1, False
        for slot, coefficient in reversed(terms):
            if coefficient != 1 or (closed and covered[slot] > 1):
                return None
            closed = closed or covered[slot] < bounds[slot]
            extent *= covered[slot]
        extents.append(extent)
    return tuple(extents)


def _found_mean(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> float:
    plan, bounds = nest.plan, nest.bounds
    if not nest.perfect and few_points(plan, _ranks(plan, asked)):
        return _mean_of_points(nest, asked, first)
    if not nest.perfect or any(is_better_listed(plan, tensor) for tensor, _ in asked):
        found = listed_mean(nest, asked, first)
        if found is not None:
            return found
    if not nest.perfect:
        return _mean_of_points(nest, asked, first)
    operands = [indicator(plan, bounds, one) for one in asked]
    everything, size = _contract(operands, bounds, set(first))
    if not first:
        return everything / size
    sliced = [
        Indicator(array[tuple(0 if s in first else slice(None) for s in slots)], tuple(s for s in slots if s not in first))
        for array, slots in operands
    ]
    start, start_size = _contract(sliced, bounds, set())
    involved = {s for _, slots in operands for s in slots} | set(first)
    start_size *= math.prod(bounds[s] for s in involved - set(first) - {s for _, slots in sliced for s in slots})
    return (everything - start) / (size - start_size) if size > start_size else everything / size


def nonempty_counts(plan: Plan, bounds: Row, asked: tuple[TileInData, ...], kept: tuple[int, ...]) -> Any:
    """Number of points at which every condition's tile holds a non-zero, per index value of the slots `kept`.

    Over the loops that tell tiles apart; all others count once.
    """
    if any(is_better_listed(plan, tensor) for tensor, _ in asked):
        found = listed_counts(plan, bounds, asked, kept)
        if found is not None:
            return found
    operands = [indicator(plan, bounds, one) for one in asked]
    told = [s for s in kept if any(s in slots for _, slots in operands)]
    label = {s: k for k, s in enumerate(sorted({s for _, slots in operands for s in slots}))}
    arguments: list[Any] = []
    for array, slots in operands:
        elsewhere = {s for other, where in operands if other is not array for s in where}.union(told)
        once = tuple(i for i, s in enumerate(slots) if s not in elsewhere)
        arguments += [array.sum(axis=once, dtype=np.float64), [label[s] for s in slots if s in elsewhere]]
    result = np.einsum(*arguments, [label[s] for s in told], optimize=True)
    shape = tuple(bounds[s] if s in told else 1 for s in kept)
    return np.broadcast_to(np.reshape(result, shape), tuple(bounds[s] for s in kept))


def joint_list(nest: Nest, asked: tuple[TileInData, ...]) -> ListedIndicator | None:
    """Where every condition's tile holds a non-zero, over all slots that tell the tiles apart; None if that is too much."""
    plan, bounds = nest.plan, nest.bounds
    if serves(plan, asked):
        return joined([listed_indicator(plan, bounds, one) for one in asked], bounds)
    if not nest.perfect or any(math.prod(bounds[s] for s in plan.relevant[one.tensor]) > MOST_WORDS for one in asked):
        return None
    arrays = [indicator(plan, bounds, one) for one in asked]
    return joined([ListedIndicator(slots, np.flatnonzero(array).astype(np.int64)) for array, slots in arrays], bounds)


def _contract(operands: list[Indicator], bounds: Row, also: set[int]) -> tuple[float, float]:
    """Sum over all index values of the product of the indicators, and the number of index values."""
    involved = sorted({s for _, slots in operands for s in slots})
    label = {s: k for k, s in enumerate(involved)}
    arguments: list[Any] = []
    for array, slots in operands:
        arguments += [array.astype(np.float64), [label[s] for s in slots]]
    value = float(np.einsum(*arguments, [], optimize=True))
    value *= math.prod(bounds[s] for s in also - set(involved))
    return value, float(math.prod(bounds[s] for s in set(involved) | also))


class Indicator(NamedTuple):
    """Does the tile hold a non-zero? By the index values of some slots."""

    array: Any
    """Truth values, one axis per slot."""
    slots: tuple[int, ...]


def indicator(plan: Plan, bounds: Row, asked: TileInData) -> Indicator:
    """The indicator of one tile over the slots of its tensor that are not covered.

    A loop covered in part is cut into aligned pieces of the covered length.
    """
    tensor, covered = asked
    model = plan.einsum.tensors[tensor].density
    mask = model.mask()
    assert mask is not None
    axes = tuple(s for s in sorted(plan.relevant[tensor]) if bounds[s] > 1)
    index = tuple(_coordinates(plan, bounds, tensor, k, axes) for k in range(mask.ndim))
    array = mask[index] if mask.ndim else mask
    array = np.broadcast_to(array, tuple(bounds[s] for s in axes))
    kept: list[int] = []
    for position in reversed(range(len(axes))):
        slot = axes[position]
        if covered[slot] >= bounds[slot]:
            array = cast("Any", array).any(axis=position)
        else:
            kept.insert(0, slot)
            if covered[slot] > 1:
                array = _pieces(array, position, covered[slot])
    return Indicator(array, tuple(kept))


def _pieces(array: Any, position: int, length: int) -> Any:
    """Along one axis: does the aligned piece of this length that an index lies in hold a non-zero?"""
    starts = np.arange(0, int(array.shape[position]), length)
    some = np.logical_or.reduceat(array, starts, axis=position)
    repeats = np.minimum(length, array.shape[position] - starts)
    return np.repeat(some, repeats, axis=position)


def _coordinates(plan: Plan, bounds: Row, tensor: int, axis: int, slots: tuple[int, ...]) -> Any:
    """Coordinate of one axis as an open grid over `slots`; the smallest coordinate is 0."""
    shape = [1] * len(slots)
    result = np.zeros(shape, dtype=np.int64)
    for slot, coefficient in plan.axes[tensor][axis]:
        if bounds[slot] == 1:
            continue
        stride = math.prod(bounds[i] for i in range(slot + 1, len(bounds)) if plan.loops[i].rank == plan.loops[slot].rank)
        values = coefficient * stride * np.arange(bounds[slot])
        values -= min(0, int(values[-1]))
        view = list(shape)
        view[slots.index(slot)] = bounds[slot]
        result = result + values.reshape(view)
    return result
