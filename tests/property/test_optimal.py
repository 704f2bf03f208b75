"""`optimal` against listing everything, and every partial bound against the mappings below it."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from sparseloop.input.load import loads
from sparseloop.mapper.objectives import Objective, objective
from sparseloop.mapper.optimal import branch_and_bound as method
from sparseloop.mapper.optimal.effort import unlimited
from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.level_cost import LevelBound
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.tile_chains import ChainSearch
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.search import search
from sparseloop.mapper.space.factorizations import divisors
from sparseloop.mapper.space.mapspace import Mapspace, mapspace
from sparseloop.mapper.task import Budget, Goal, Task
from sparseloop.model.design.mapping import MappingBatch
from tests.property.mapspaces import random_space

OBJECTIVES = ("energy", "cycles", "edp", "ed2p", "edap", "energy,cycles", "0.5*energy + 100*cycles", "cycles,energy", "idleness")


@pytest.fixture(autouse=True)
def _no_short_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small spaces are proven too, chain by chain."""
    monkeypatch.setattr(method, "SMALL", 0)
    monkeypatch.setattr(method, "PORTIONS", (1, 2))


def everything(space: Mapspace, objective: Objective) -> list[tuple[tuple[float, ...], MappingBatch, int]]:
    """All valid mappings, orders of one class too, as (values, batch, column), the best first; one of each value."""
    area = float(sum(level.area_um2 * level.instances for level in space.design.arch.levels))
    found: dict[tuple[float, ...], tuple[MappingBatch, int]] = {}
    for batch in space.chunks():
        columns = space.columns(batch, ("energy_pj", "cycles", "status", "utilization"))
        values = objective.values({**columns, "area_um2": np.full(len(batch), area)})
        for i in np.flatnonzero(columns["status"] == 0):
            found.setdefault(tuple(float(v) for v in values[:, i]), (batch, int(i)))
    return [(values, *found[values]) for values in sorted(found)]


def incumbent(listed: list[tuple[tuple[float, ...], MappingBatch, int]], kind: int) -> MappingBatch | None:
    """What is known at the start: the mapping next to the best (a bound a little too high shows), one amid them, or none."""
    others = [one for one in listed if one[0] != pytest.approx(listed[0][0], rel=1e-6)]
    if kind == 2 or not others:
        return None
    _, batch, i = others[0 if kind == 0 else len(others) // 2]
    return batch.chosen(slice(i, i + 1))


def check(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    space = random_space(seed)
    if space is None:
        return
    goal = objective(OBJECTIVES[seed % len(OBJECTIVES)])
    listed = everything(space, goal)
    start = incumbent(listed, seed % 4 % 3) if listed else None
    monkeypatch.setattr(method.BranchAndBound, "warm_up", lambda self: None if start is None else self.evaluate(start))
    proven = search(space, minimize=goal, method="optimal")
    assert (proven.mapping is None) == (not listed)
    if listed:
        assert proven.proven_optimal
        assert proven.top[0].values == pytest.approx(listed[0][0], rel=2e-9), seed
        assert proven.lower_bound == proven.value


@pytest.mark.parametrize("block", [n if n != 5 else pytest.param(n, marks=pytest.mark.slow) for n in range(10)])
def test_equals_exhaustive(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(6 * block, 6 * (block + 1)):
        check(seed, monkeypatch)


def test_with_room_for_few_chains_the_proof_goes_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 20 transitions: most spaces are cut by their tiles, many times over, and the best mapping is the same."""
    monkeypatch.setattr(method, "LEAST_ROOM", 20)
    monkeypatch.setattr(method, "BYTES", 10**12)
    parts: list[int] = []
    cut = method.BranchAndBound._cut
    monkeypatch.setattr(method.BranchAndBound, "_cut", lambda self, *a: (parts.append(1), cut(self, *a)))
    for seed in (30_000, 30_006, 30_024, 30_065, 30_071):
        space = random_space(seed)
        if space is not None:
            goal = objective(OBJECTIVES[seed % len(OBJECTIVES)])
            listed = everything(space, goal)
            best = search(space, minimize=goal, method="optimal")
            assert (best.mapping is None) == (not listed)
            if listed and best.stopped == "done":
                assert best.top[0].values == pytest.approx(listed[0][0], rel=2e-9), seed
            elif listed:
                assert best.lower_bound is None or best.lower_bound <= listed[0][0][0] * (1 + 1e-9)
    assert parts


@pytest.mark.slow
@pytest.mark.parametrize("block", range(40))
def test_equals_exhaustive_on_many(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(10_000 + 25 * block, 10_000 + 25 * (block + 1)):
        check(seed, monkeypatch)


@pytest.mark.parametrize("block", [*range(10), *(pytest.param(n, marks=pytest.mark.slow) for n in range(10, 40))])
def test_bound_of_every_part_is_admissible(block: int) -> None:
    for seed in range(20_000 + 10 * block, 20_000 + 10 * (block + 1)):
        space = random_space(seed)
        if space is not None and space.ranks:
            for batch in space.sample(200, seed).parts:
                assert_admissible(space, batch)


class Undecided:
    """Prunes nothing."""

    def beats(self, energy: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.zeros(len(energy), dtype=bool)

    def score(self, energy: np.ndarray, _: np.ndarray) -> np.ndarray:
        return energy


def assert_admissible(space: Mapspace, batch: MappingBatch) -> None:
    """Walks the nest of every valid mapping from the inside out: no bound on the way exceeds what it costs."""
    columns = space.columns(batch, ("energy_pj", "cycles", "status"))
    good = np.flatnonzero(columns["status"] == 0)
    sizes = [r.size for r in space.ranks]
    table = TileTable(space.design, [r.rank for r in space.ranks], sizes, [divisors(n) for n in sizes])
    bounds = LowerBounds(space, table, batch.nest.keep)
    choices = LevelChoices(space, table)
    chains = ChainSearch(bounds, choices, Undecided(), unlimited())
    chains.forward()
    lowest = [float(low[0]) for low in chains.cost_to_go.floor()]
    for i in good[:20]:
        energy, cycles = columns["energy_pj"][i] * (1 + 1e-9), columns["cycles"][i] * (1 + 1e-9)
        assert lowest[0] <= energy
        assert lowest[1] <= cycles
        for low, time in partial_bounds(chains, choices, batch, int(i)):
            assert low <= energy
            assert time <= cycles


def assert_least_inside(chains: ChainSearch, level: int, at: tuple[int, int, int], path: tuple[float, float]) -> None:
    """The state (tile, lanes, waiting crossings) is in the frontier, and costs no more inside than the chain that led to it."""
    frontier, (tile, lanes, waiting) = chains.frontiers[level], at
    state = np.flatnonzero((frontier.tile == tile) & (frontier.lanes == lanes) & (frontier.waiting == waiting))
    assert len(state) == 1
    assert frontier.energy[state[0]] <= path[0] * (1 + 1e-12)
    assert frontier.cycles[state[0]] <= path[1] * (1 + 1e-12)


def partial_bounds(chains: ChainSearch, choices: LevelChoices, batch: MappingBatch, column: int):
    """(energy, cycles) at least, when the levels inside are known."""
    bounds, table = chains.bounds, chains.table
    names = list(table.ranks)
    extents = np.ones((len(names), 1), dtype=np.int64)
    energy, cycles, waiting, lanes = np.zeros(1), np.zeros(1), {}, 1
    for level in reversed(range(bounds.levels)):
        factors, spatial, order = np.ones((len(names), 1)), np.ones(len(names), dtype=np.int64), []
        for loop, bound in zip(batch.nest.loops, batch.bounds[:, column], strict=True):
            if loop.level == level and loop.spatial:
                spatial[names.index(loop.rank)] *= bound
            elif loop.level == level and bound > 1:
                factors[names.index(loop.rank)] = bound
                order.append(names.index(loop.rank))
        of_level = choices.by_level[level].spatial
        choice = np.flatnonzero((of_level.factors == spatial).all(axis=1))
        cost, inner, loops = chains.costs[level], table.code(extents), sum(1 << r for r in order)
        joined = LevelBound(bounds, level, of_level, joined=True).with_loops_joined(inner, choice)
        time = np.maximum(cycles, joined.cycles)
        yield float(bounds.total_energy(energy + joined.energy, time)[0]), float(time[0]) + bounds.latency
        waiting = waiting | cost.started(inner)
        costs = {c.signature: c for c in cost.class_costs(inner, choice, factors, loops, waiting)}
        own = costs[bounds.classes[level].signature(order[::-1])]
        energy, cycles = energy + own.energy, np.maximum(cycles, own.cycles)
        waiting = {
            c: cost.past(c, carried, choice, cost.growth(c, -1, inner, choice, factors))
            for c, carried in waiting.items()
            if cost.stays_open(c, loops)
        }
        extents = extents * spatial[:, None] * factors.astype(np.int64)
        lanes *= int(spatial.prod())
        bits = sum(1 << chains.numbered.index(c) for c in waiting)
        tile = table.code(extents)
        assert_least_inside(chains, level, (int(tile[0]), lanes, bits), (float(energy[0]), float(cycles[0])))
        assert bool(bounds.fits(level)[tile][0])
        around, outside = chains.cost_to_go.around[level], chains.cost_to_go.outside[level]
        assert all(bool((part[inner] <= whole[tile]).all()) for part, whole in zip(around, outside, strict=True))
        time = np.maximum(cycles, outside.cycles[tile])
        yield float(bounds.total_energy(energy + outside.energy[tile], time)[0]), float(time[0]) + bounds.latency


def test_a_budget_that_ends_first_leaves_a_bound() -> None:
    space = next(s for seed in range(100) if (s := random_space(seed)) is not None and s.size > 3000 and s.bypass.count > 1)
    best = search(space, minimize="energy", method="optimal", budget=1)
    assert not best.proven_optimal
    assert best.lower_bound is not None
    proven = search(space, minimize="energy", method="optimal")
    assert proven.value is not None
    assert best.lower_bound <= proven.value


def test_the_same_seed_gives_the_same_answer() -> None:
    space = next(s for seed in range(100) if (s := random_space(seed)) is not None and 500 < s.size < 3000)
    first, second = (search(space, minimize="edp", method="optimal", seed=3) for _ in range(2))
    assert first.top == second.top
    assert first.evaluated == second.evaluated


def test_a_short_budget_of_time_still_finds_a_mapping_and_a_bound() -> None:
    """A clock that says a second later at every look: the budget is spent before the first choice of bypasses is looked at."""
    free = "workload: {einsum: 'Z[m,n] = A[m,k] * B[k,n]', shape: {m: 64, k: 64, n: 64}}\narchitecture:\n  levels:\n"
    free += "    - {name: DRAM, class: dram}\n"
    free += "".join(f"    - {{name: L{i}, class: sram, capacity: 4 KiB}}\n" for i in range(3))
    space = mapspace(loads(free + "    - {name: MAC, class: mac}\n"))
    goal, seconds = Goal(objective=objective("energy")), count()
    best = method.optimal(Task(space=space, goal=goal, budget=Budget(seconds=1.0), clock=lambda: float(next(seconds))))
    assert best.stopped == "budget"
    assert best.value is not None
    assert best.lower_bound is not None
    assert 0 < best.lower_bound <= best.value
