"""Records of parallel arrays: rows and concatenation keep every array in step."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from sparseloop.mapper.optimal.states import Edges, Frontier, Openings, TileChains, Transitions, batched


def transitions(start: int, count: int) -> Transitions:
    numbers = np.arange(start, start + count)
    return Transitions(numbers, numbers + 1, numbers + 2, numbers * 0.5, np.stack([numbers, -numbers]))


def edges(start: int, count: int) -> Edges:
    numbers = np.arange(start, start + count)
    return Edges(*(numbers + i for i in range(5)), numbers * 0.5, numbers * 0.25)


def openings(start: int, count: int) -> Openings:
    numbers = np.arange(start, start + count)
    return Openings(numbers, numbers + 1, numbers + 2, numbers * 0.5, numbers * 0.25)


def test_concatenation_undoes_rows() -> None:
    for make in (transitions, edges, openings):
        whole = make(3, 7)
        keep = np.arange(7) < 4
        if make is openings:
            parts = [whole.rows(np.flatnonzero(keep)), whole.rows(np.flatnonzero(~keep))]
        else:
            parts = [whole.rows(keep), whole.rows(~keep)]
        again = type(whole).concatenated(parts)
        for field in fields(whole):
            assert np.array_equal(getattr(again, field.name), getattr(whole, field.name)), field.name


def test_no_edges_are_empty_arrays_of_the_right_type() -> None:
    none = Edges.concatenated([])
    assert none.source.dtype == none.waiting.dtype == np.int64
    assert none.energy.dtype == none.cycles.dtype == np.float64
    assert len(none.source) == len(none.energy) == 0


def test_transitions_come_in_batches_of_about_the_size_asked_for() -> None:
    parts = [transitions(0, 3), transitions(3, 3), transitions(6, 1), transitions(7, 2)]
    batches = list(batched(parts, 5))
    assert [len(batch.source) for batch in batches] == [6, 3]
    assert np.concatenate([batch.source for batch in batches]).tolist() == list(range(9))


def test_the_innermost_frontier_is_one_point_with_nothing_inside() -> None:
    point = Frontier.point()
    assert (point.tile.tolist(), point.lanes.tolist(), point.ways.tolist()) == ([0], [1], [1.0])
    assert (point.energy.tolist(), point.cycles.tolist(), point.starts.tolist()) == ([0.0], [0.0], [0, 0])
    assert point.carried == {}


def test_chains_keep_their_levels_apart() -> None:
    def chains(start: int, count: int) -> TileChains:
        numbers = np.arange(start, start + count)
        factors = np.stack([numbers, 2 * numbers])
        return TileChains((numbers, numbers + 10), (factors, -factors), numbers * 1.0, numbers * 2.0)

    whole = TileChains.concatenated([chains(0, 2), chains(2, 3)])
    assert len(whole) == 5
    some = whole.rows(np.array([4, 1]))
    assert some.spatial[1].tolist() == [14, 11]
    assert some.factors[1].tolist() == [[-4, -1], [-8, -2]]
    assert some.energy.tolist() == [4.0, 1.0]
