"""What the walker says of a machine's limits, worked by hand: packed positions, blocks, words that do not fit, padding."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pytest

from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker import Beyond, Machine, Walker
from tests.helpers.walks import einsum, fmt, mapped, matmul, saf, split, tensor, totals

DENSE = Sparse(formats={})
PACKED = Sparse(formats={}, safs=(saf("spatial_skip", 0, "A", "A"),))


def with_extents(problem, extents):
    """The problem with true extents of some tensors, one per axis."""
    tensors = tuple(
        replace(t, axes=tuple(replace(axis, size=size) for axis, size in zip(t.axes, extents[t.name], strict=True)))
        if t.name in extents
        else t
        for t in problem.tensors
    )
    return replace(problem, tensors=tensors)


def walked(problem, mapping, sparse=DENSE, blocks=None, machine=None, extents=None, **data):
    problem = with_extents(problem, extents or {})
    full = {t.name: np.ones(problem.true_shape(t), dtype=bool) for t in problem.tensors}
    given = {name: np.array(pattern, dtype=bool) for name, pattern in data.items()}
    walker = Walker(problem, blocks or [1] * len(mapping.nest.keep), mapping, sparse, machine)
    return walker.walk(full | given)


class TestPacking:
    """Positions of one fanout, A skipped on its own zeros."""

    def rows(self, *rows, lanes, waves=True, sparse=PACKED):
        problem = einsum([tensor("A", "k", "m"), tensor("Z", "k", output=True)], k=len(rows), m=len(rows[0]))
        mapping = mapped(f"k{len(rows)} m{len(rows[0])}x", "AZ")
        machine = Machine(lanes={0: lanes}, waves=frozenset({0} if waves else ()))
        return walked(problem, mapping, sparse, machine=machine, A=rows).compute_cycles

    def test_waves_of_one_step(self):
        assert self.rows([1, 1, 1, 1, 1, 0], lanes=2) == 3
        assert self.rows([1, 0, 0, 0, 0, 0], lanes=2) == 1
        assert self.rows([0, 0, 0, 0, 0, 0], lanes=2) == 0

    def test_steps_are_packed_apart(self):
        assert self.rows([1, 1, 1, 0], [0, 0, 0, 1], lanes=2) == 3
        assert self.rows([1, 1, 1, 0], [0, 0, 0, 1], lanes=2, waves=False) == 2

    def test_fewer_active_positions_than_instances_are_no_faster(self):
        assert self.rows([1, 0, 0, 0], [0, 1, 0, 0], lanes=4) == 2
        assert self.rows([1, 0, 0, 0], [0, 1, 0, 0], lanes=4, waves=False) == 0.5

    def test_the_longest_position_counts(self):
        """Two positions with two steps inside, each of which skips on B: one needs both, the other neither."""
        problem = einsum([tensor("A", "m"), tensor("B", "m", "k"), tensor("Z", "m", output=True)], m=2, k=2)
        sparse = Sparse(formats={}, safs=(saf("spatial_skip", 0, "A", "A"), saf("skip", 1, "A", "B")))
        machine = Machine(lanes={0: 2}, waves=frozenset({0}))
        mapping = mapped("m2x|k2", "ABZ|ABZ")
        assert walked(problem, mapping, sparse, machine=machine, A=[1, 1], B=[[1, 1], [0, 0]]).compute_cycles == 2
        assert walked(problem, mapping, sparse, machine=machine, A=[1, 1], B=[[0, 0], [0, 0]]).compute_cycles == 1
        assert walked(problem, mapping, sparse, machine=machine, A=[0, 1], B=[[1, 1], [1, 0]]).compute_cycles == 1

    def test_two_leaders(self):
        """Every placement of two non-zeros each in four positions: at least one position of both is met unless disjoint."""
        problem = einsum([tensor("A", "m"), tensor("B", "m"), tensor("Z", "m", output=True)], m=4)
        sparse = Sparse(formats={}, safs=(saf("spatial_skip", 0, "A", "A"), saf("spatial_skip", 0, "B", "B")))
        walker = Walker(problem, [1], mapped("m4x", "ABZ"), sparse, Machine(lanes={0: 4}, waves=frozenset({0})))
        rows = [[i in chosen for i in range(4)] for chosen in combinations(range(4), 2)]
        found = [
            walker.walk({"A": np.array(a), "B": np.array(b), "Z": np.ones(4, dtype=bool)}).compute_cycles
            for a in rows
            for b in rows
        ]
        assert np.mean(found) == pytest.approx(1 - 1 / comb(4, 2))

    def test_lanes_without_packing_even_out(self):
        sparse = Sparse(formats={}, safs=(saf("skip", 0, "A", "A"),))
        assert self.rows([1, 0], [0, 0], lanes=1, sparse=sparse) == 0.5


class TestBlocks:
    """Words that share an access: those sent in one step; at the compute link the consecutive reads of one instance."""

    def test_tiles_start_blocks(self):
        problem = einsum([tensor("A", "m", "k"), tensor("Z", "m", output=True)], m=4, k=3)
        counted = walked(problem, mapped("m4|k3", "AZ|AZ"), blocks=(2, 8))
        assert counted.tensors[0, "A"].accesses.reads == 4 * 2
        assert counted.tensors[1, "A"].accesses.fills == 4
        assert counted.tensors[1, "A"].accesses.reads == 2
        assert counted.tensors[1, "Z"].accesses.updates == 2
        assert counted.tensors[1, "Z"].accesses.reads == 1
        assert counted.tensors[0, "Z"].accesses.updates == 4

    def test_only_what_is_there_is_packed(self):
        problem = einsum([tensor("A", "m", "k"), tensor("Z", "m", output=True)], m=2, k=4)
        sparse = Sparse(formats={(0, "A"): fmt("CP", "CP"), (1, "A"): fmt("CP", "CP")})
        counted = walked(problem, mapped("m2|k4", "AZ|AZ"), sparse, blocks=(2, 2), A=[[1, 1, 1, 0], [0, 0, 0, 0]])
        assert counted.tensors[0, "A"].accesses.reads == 2

    def test_children_of_one_parent_share_blocks(self):
        """Two rows of two words in one delivery, one of two words for both children; each child starts blocks of its own."""
        problem = einsum([tensor("A", "m", "k"), tensor("Z", "m", output=True)], m=2, k=2)
        counted = walked(problem, mapped("m2x|k2", "AZ|AZ"), blocks=(4, 4))
        assert (counted.tensors[0, "A"].accesses.reads, counted.tensors[1, "A"].accesses.fills) == (1, 2)
        assert (counted.tensors[1, "Z"].accesses.updates, counted.tensors[0, "Z"].accesses.updates) == (2, 1)
        shared = einsum([tensor("A", "k"), tensor("Z", "m", output=True)], m=2, k=2)
        assert walked(shared, mapped("m2x|k2", "AZ|AZ"), blocks=(4, 4)).tensors[0, "A"].accesses.reads == 1

    def test_words_that_are_not_shared_are_sent_in_turn(self):
        shared = einsum([tensor("A", "k"), tensor("Z", "m", output=True)], m=2, k=2)
        mapping = mapped("m2x|k2", "AZ|AZ", no_multicast=frozenset({(0, "A")}))
        assert walked(shared, mapping, blocks=(4, 4)).tensors[0, "A"].accesses.reads == 2

    def test_what_features_leave_of_siblings_shares_blocks(self):
        """Of four rows of one word two are left in the first step, none in the second: one access."""
        problem = einsum([tensor("A", "m", "k"), tensor("B", "m", "k"), tensor("Z", "m", output=True)], m=4, k=2)
        sparse = Sparse(formats={}, safs=(saf("spatial_skip", 0, "A", "B"),))
        rows = [[1, 0], [0, 0], [1, 0], [0, 0]]
        counted = walked(problem, mapped("k2 m4x|", "ABZ|ABZ"), sparse, blocks=(4, 1), B=rows)
        assert (counted.tensors[0, "A"].reads.actual, counted.tensors[0, "A"].accesses.reads) == (2, 1)


def test_words_beyond_the_room() -> None:
    problem = einsum([tensor("A", "m", "k"), tensor("Z", "m", output=True)], m=2, k=4)
    sparse = Sparse(formats={(0, "A"): fmt("CP", "CP"), (1, "A"): fmt("CP", "CP")})
    machine = Machine(rooms={(1, "A"): 2})
    counted = walked(problem, mapped("m2|k4", "AZ|AZ"), sparse, machine=machine, A=[[1, 1, 1, 0], [0, 1, 0, 0]])
    row_too_long = Beyond(held=4, excess=1, arriving=1)
    assert counted.tensors[1, "A"].beyond == (row_too_long, row_too_long)
    assert row_too_long.streamed(uses=1) == 0
    assert counted.tensors[1, "A"].held == (2, 3)
    assert counted.tensors[0, "A"].held == (4, 4)


def test_words_of_a_result_beyond_the_room() -> None:
    """Four words, added to three times in each of two tiles: of two the first read finds nothing, all others come and go."""
    problem = einsum([tensor("A", "m", "k"), tensor("Z", "m", output=True)], m=8, k=3)
    counted = walked(problem, mapped("m2|k3 m4", "AZ|Z"), Sparse(formats={}), machine=Machine(rooms={(1, "Z"): 2}))
    parent, here = counted.tensors[1, "Z"].beyond
    assert parent == here == Beyond(held=8, excess=4, arriving=0, departing=4)
    assert (here.streamed(uses=2), here.returned(uses=3)) == (8, 8)


def test_bounds_that_never_come_are_not_looked_at() -> None:
    """A block of two words of A[b,k] is one of two k where b has a bound of 2 but a size of 1."""
    problem = einsum([tensor("A", "b", "k"), tensor("B", "k"), tensor("Z", "b", output=True)], b=1, k=2)
    sparse = Sparse(formats={}, safs=(saf("gate", 0, "A", "B"),))
    for text in ("k2 b2,1", "k2 b1", "k2"):
        counted = walked(problem, mapped(text, "ABZ"), sparse, blocks=(2,), B=[1, 0])
        assert (counted.tensors[0, "A"].reads.actual, counted.tensors[0, "A"].reads.gated) == (2, 0)


class TestWindowsLargerThanTheirRoom:
    """Z[p] = I[p+r], p = 3, r = 3: windows 012, 123, 234, each word used once in each."""

    @pytest.mark.parametrize(
        ("room", "excess", "arriving", "fetched"),
        [
            (3, 0, 0, 5),
            (2, 3, 3, 5),  # the word that leaves next takes no room, the one that arrives is fetched anyway
            (1, 6, 4, 7),  # of 1 and 2 only one can be kept for the second window: the other one is fetched again
            (0, 9, 5, 9),  # nothing is kept: every use is a fetch
        ],
    )
    def test_one_word_a_step(self, room, excess, arriving, fetched):
        problem = einsum([tensor("I", "p+r"), tensor("Z", "p", output=True)], p=3, r=3)
        counted = walked(problem, mapped("p3|r3", "IZ|I"), machine=Machine(rooms={(1, "I"): room}), I=[1] * 5)
        found = Beyond(held=9, excess=excess, arriving=arriving)
        assert counted.tensors[1, "I"].beyond == (found, found)
        assert counted.tensors[1, "I"].fills.actual + found.streamed(uses=1) == fetched

    def test_windows_that_are_alike_are_sent_together(self):
        """Two instances hold the same windows; two hold each its own."""
        shared = einsum([tensor("I", "p+r"), tensor("Z", "n", "p", output=True)], n=2, p=3, r=3)
        machine = Machine(rooms={(1, "I"): 1})
        read, filled = walked(shared, mapped("p3 n2x|r3", "IZ|I"), machine=machine, I=[1] * 5).tensors[1, "I"].beyond
        assert (read, filled) == (Beyond(held=9, excess=6, arriving=4), Beyond(held=18, excess=12, arriving=8))
        apart = einsum([tensor("I", "n", "p+r"), tensor("Z", "n", "p", output=True)], n=2, p=3, r=3)
        read, filled = walked(apart, mapped("p3 n2x|r3", "IZ|I"), machine=machine, I=[[1] * 5] * 2).tensors[1, "I"].beyond
        assert read == filled == Beyond(held=18, excess=12, arriving=8)


class TestPadding:
    """Z[p] = I[p+r-1] * W[r], p = 4, r = 3: coordinates -1 to 4, of which 0 to 3 exist."""

    PROBLEM = einsum([tensor("I", "p+r+-1"), tensor("W", "r"), tensor("Z", "p", output=True)], p=4, r=3)

    def walk(self, text, keep, sparse=DENSE, extent=4, **data):
        problem = self.PROBLEM
        given = {"I": [1] * extent, **data}
        return walked(problem, mapped(text, keep), sparse, extents={"I": (extent,)}, **given)

    def test_padding_is_executed_but_never_fetched(self):
        counted = self.walk("p4 r3", "IWZ")
        assert counted.computes.actual == 12
        assert totals(counted, 0, "I") == (10, 0, 0)
        assert totals(counted, 0, "W")[0] == 12

    def test_what_is_loaded_once_is_the_tensor(self):
        counted = self.walk("|p4 r3", "IWZ|IWZ")
        assert totals(counted, 0, "I")[0] == totals(counted, 1, "I")[1] == 4
        assert counted.tensors[1, "I"].held == (4, 4)
        windows = self.walk("p4|r3", "IWZ|IWZ")
        assert totals(windows, 1, "I")[1] == 4
        assert counted.tensors[1, "W"].held == (3, 3)

    def test_padding_is_known_to_be_zero(self):
        sparse = Sparse(formats={}, safs=(saf("skip", 0, "W", "I"),))
        counted = self.walk("p4 r3", "IWZ", sparse)
        assert split(counted.computes) == (10, 0, 2, 0)
        assert split(counted.tensors[0, "W"].reads) == (10, 0, 2, 0)

    def test_padding_has_no_metadata(self):
        problem = einsum([tensor("I", "p+-1"), tensor("Z", "p", output=True)], p=4)
        sparse = Sparse(formats={(0, "I"): fmt("B"), (1, "I"): fmt("B")})
        counted = walked(problem, mapped("|p4", "IZ|IZ"), sparse, extents={"I": (2,)}, I=[1, 0])
        assert split(counted.tensors[0, "I"].reads) == (1, 0, 0, 1)
        assert split(counted.tensors[0, "I"].metadata_reads[0].metadata) == (2, 0, 0, 0)
        assert split(counted.tensors[1, "I"].metadata_fills[0].metadata) == (2, 0, 0, 0)
        empty = walked(problem, mapped("p4", "IZ"), Sparse(formats={(0, "I"): fmt("U")}), extents={"I": (2,)}, I=[0, 0])
        assert split(empty.tensors[0, "I"].reads) == (2, 0, 0, 0)

    def test_equal_words_beside_different_padding_are_shared(self):
        """Two lanes whose windows differ in padding only receive the same words."""
        problem = einsum([tensor("I", "p+r+-1"), tensor("Z", "p", output=True)], p=2, r=2)
        counted = walked(problem, mapped("p2x|r2", "IZ|IZ"), extents={"I": (1,)}, I=[1])
        assert totals(counted, 0, "I")[0] == 1
        assert totals(counted, 1, "I")[1] == 2

    def test_a_tensor_larger_than_what_is_used(self):
        counted = self.walk("p4 r3", "IWZ", extent=9)
        assert totals(counted, 0, "I")[0] == 11


def test_a_matrix_times_its_transpose() -> None:
    """Ranks that occur twice: only the diagonal of Z[i,i] and A[i,i] is touched."""
    problem = einsum([tensor("A", "i", "i"), tensor("Z", output=True)], i=4)
    assert totals(walked(problem, mapped("i4x", "AZ")), 0, "A")[0] == 4
    diagonal = einsum([tensor("A", "i"), tensor("Z", "i", "i", output=True)], i=4)
    assert totals(walked(diagonal, mapped("i4", "AZ")), 0, "Z") == (0, 0, 4)


def test_no_operands() -> None:
    problem = einsum([tensor("Z", "m", output=True)], m=3)
    assert totals(walked(problem, mapped("m3", "Z")), 0, "Z") == (0, 0, 3)
    assert walked(matmul(2, 2, 2), mapped("m2 n2 k2", "ABZ")).compute_cycles == 8
