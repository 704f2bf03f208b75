"""Searchers find what is there, the same with any number of workers; and say why there is nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import sparseloop as sl
from sparseloop.input.diagnostics import SpecError
from sparseloop.mapper import infeasibility
from sparseloop.mapper.batch_evaluator import Glance, portions
from sparseloop.mapper.infeasibility import why_infeasible
from sparseloop.mapper.objectives import objective
from sparseloop.mapper.search import run_search
from sparseloop.mapper.task import CHUNK, Budget, Goal, SearchTally
from sparseloop.mapper.task import Task as SearchTask
from tests.helpers.tiny_spaces import CONSTRAINED, FIXED, SPARSE, spec_of

METHODS = ("exhaustive", "random", "annealing", "genetic")


def true_best(spec: sl.Spec, name: str) -> float:
    """The lowest value of all valid mappings, orders of one class included."""
    low = np.inf
    for batch in sl.mapspace(spec).chunks():
        columns = sl.evaluate(spec, batch, keep=("energy_pj", "cycles", "status"))
        values = objective(name).scalars(columns)[columns["status"] == 0]
        low = min(low, float(values.min(initial=np.inf)))
    return low


@pytest.mark.parametrize("name", ["energy", "cycles", "edp", "ed2p"])
def test_exhaustive_is_proven_and_right(name: str) -> None:
    spec = spec_of(FIXED, SPARSE)
    best = sl.search(spec, minimize=name, method="exhaustive")
    assert best.proven_optimal
    assert best.stopped == "done"
    assert best.evaluated == sl.mapspace(spec).distinct_size
    assert best.value == best.lower_bound == pytest.approx(true_best(spec, name), rel=1e-12)
    assert best.mapping in sl.mapspace(spec)
    assert best.result is not None
    assert best.result.valid
    plain = {"energy_pj": np.array(best.result.energy_pj), "cycles": np.array(best.result.cycles)}
    assert float(objective(name).scalars(plain)) == pytest.approx(best.value, rel=1e-12)


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_others_come_close(method: str) -> None:
    spec = spec_of(CONSTRAINED, SPARSE)
    best = sl.search(spec, method=method, budget=30_000, seed=1)
    assert best.evaluated == 30_000
    assert best.stopped == "budget"
    assert not best.proven_optimal
    assert best.value == pytest.approx(true_best(spec, "edp"), rel=0.02)
    assert 0 < best.valid < best.evaluated
    assert set(best.failures) <= {sl.Status.OVER_CAPACITY, sl.Status.OVER_FANOUT}


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_answer_with_any_number_of_workers(method: str) -> None:
    spec = spec_of(CONSTRAINED, SPARSE)
    goal = Goal(objective=objective("edp"), top=4, pareto=(objective("energy"), objective("cycles")))
    found = [sl.search(spec, minimize=goal, method=method, budget=40_000, seed=7, workers=n) for n in (1, 2, 3)]
    for one in found[1:]:
        assert one.top == found[0].top
        assert one.front == found[0].front
        assert (one.evaluated, one.valid, one.failures) == (found[0].evaluated, found[0].valid, found[0].failures)


def test_top_and_front() -> None:
    goal = Goal(objective=objective("energy,cycles"), top=5, pareto=(objective("energy"), objective("cycles")))
    best = sl.search(spec_of(CONSTRAINED), minimize=goal, budget=20_000)
    values = [one.values for one in best.top]
    assert len(values) == 5
    assert values == sorted(values)
    assert len({one.mapping for one in best.top}) == 5
    energies, cycles = zip(*(one.values for one in best.front), strict=True)
    assert list(energies) == sorted(energies)
    assert list(cycles) == sorted(cycles, reverse=True)
    assert energies[0] == pytest.approx(values[0][0])


def test_an_interrupt_returns_the_best_so_far() -> None:
    def interrupting(tally: SearchTally) -> None:
        raise KeyboardInterrupt

    space = sl.mapspace(spec_of(CONSTRAINED))
    goal = Goal(objective=objective("edp"))
    task = SearchTask(space=space, goal=goal, method="random", budget=Budget(mappings=100_000))
    best = run_search(task, interrupting)
    assert best.stopped == "interrupted"
    assert best.mapping is not None
    assert best.evaluated == CHUNK


def test_seconds_end_a_search() -> None:
    """By a clock that shows a second more after every batch: two and a half seconds are over after the third one.

    The first batch is one mapping, as nobody knows yet how long one takes: over large given tensors, seconds.
    """
    now = [0.0]

    def tick(tally: SearchTally) -> None:
        now[0] += 1.0

    goal = Goal(objective=objective("edp"))
    task = SearchTask(
        space=sl.mapspace(spec_of(CONSTRAINED)), goal=goal, method="random", budget=Budget(seconds=2.5), clock=lambda: now[0]
    )  # fmt: skip
    best = run_search(task, tick)
    assert best.stopped == "budget"
    assert best.seconds == 3.0
    assert best.evaluated == 1 + 2 * CHUNK


def test_a_batch_is_cut_by_what_its_first_portions_took() -> None:
    """One mapping at first, twice as many while that is quick (whatever a batch costs in any case), fewer where it is slow."""
    batch = sl.mapspace(spec_of()).sample(200, seed=0)
    glance, sizes = Glance(0.1, most=64), list[int]()
    for portion in portions(batch, glance):
        sizes.append(len(portion))
        glance.took(len(portion), 0.5 if len(sizes) != 6 else 3.2)
    assert sizes == [1, 2, 4, 8, 16, 32, *(1, 2, 4, 8, 16, 32, 64), 10]
    assert [len(portion) for portion in portions(batch, Glance(None, most=150))] == [150, 50]


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(SpecError, match="did you mean 'genetic'"):
        sl.search(spec_of(), method="genetics")


# --- nothing found ------------------------------------------------------------------------------------------


def test_why_nothing_fits() -> None:
    spec = sl.loads(sl.dumps(spec_of("constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n")))
    best = sl.search(spec, method="random", budget=5000)
    assert best.mapping is best.result is best.value is None
    assert best.valid == 0
    why = why_infeasible(best)
    assert why.failures[sl.Status.OVER_CAPACITY] == 5000
    assert any("RF must hold 14 words" in text and "room for 6" in text for text in why.misses)
    assert "the capacity of RF" in why.conflict
    assert {"RF: m=4", "the capacity of RF"} <= set(why.helps)
    assert any("nearest miss" in line for line in why.lines())


def test_why_constraints_contradict_each_other() -> None:
    """An empty space is searched to its end at once: that there is no mapping is proven."""
    best = sl.search(spec_of("constraints: {RF: {factors: {k: 2}}, DRAM: {max: {m: 2}}}\n"), budget=5000)
    assert best.evaluated == 0
    assert best.stopped == "done"
    why = why_infeasible(best)
    assert why.proven
    assert why.nearest is None
    assert why.conflict == ("RF: k=2 (does not divide 3; --padded admits other factors)",)
    assert why.lines() == [
        "the constraints admit no mapping",
        "this alone admits none: RF: k=2 (does not divide 3; --padded admits other factors)",
        "lifting any one of these helps: RF: k=2 (does not divide 3; --padded admits other factors)",
    ]


def test_what_a_search_missed_is_not_called_impossible() -> None:
    spec = spec_of("constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n")
    why = why_infeasible(sl.search(spec, method="random", budget=5000))
    assert not why.proven
    text = "\n".join(why.lines())
    assert "nothing is proven by this search: --method optimal or a larger budget may still find a mapping" in text
    assert "no mapping was found that respects all of these: " in text
    assert "exclude each other" not in text


def test_why_nothing_fits_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at a few mappings with imperfect factors, and what is not looked at is not called possible or impossible."""
    spec = spec_of("constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n")
    best = sl.search(sl.mapspace(spec, padded=True), method="random", budget=8)
    looked_at: list[int] = []

    def counted(space: sl.Mapspace, batch: sl.MappingBatch) -> npt.NDArray[np.float64]:
        looked_at.append(len(batch))
        return overshoot(space, batch)

    overshoot = infeasibility.overshoot
    monkeypatch.setattr(infeasibility, "overshoot", counted)
    why = why_infeasible(best, seconds=0)
    assert looked_at
    assert max(looked_at) == 1
    assert len(looked_at) <= 2  # the nearest miss; whether anything fits with all limits lifted
    assert not why.proven
    assert why.helps == ()


def test_a_budget_of_seconds_begins_with_one_imperfect_mapping() -> None:
    """They are counted one by one: a first batch of hundreds could take longer than the budget."""
    now = [0.0]

    def tick(tally: SearchTally) -> None:
        now[0] += 1.0

    goal, space = Goal(objective=objective("edp")), sl.mapspace(spec_of(CONSTRAINED), padded=True)
    task = SearchTask(space=space, goal=goal, method="random", budget=Budget(seconds=0.5), clock=lambda: now[0])
    assert run_search(task, tick).evaluated == 1


def test_kept_and_bypassed_is_a_mistake() -> None:
    with pytest.raises(sl.SpecError, match="A is both kept and bypassed at 'RF'"):
        sl.mapspace(spec_of("constraints: {RF: {keep: [A], bypass: [A]}}\n"))
