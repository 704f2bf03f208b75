"""The brute-force walker against examples worked by hand and against a second, tiny derivation of the dense counts."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from sparseloop.einsum import Axis, Einsum, Tensor, Term
from sparseloop.mapping import Loop, LoopNest, Mapping
from sparseloop.reference import Classes, Walk, Walker
from sparseloop.sparse import RankFormat, Saf, Sparse, TensorFormat

DENSE = Sparse(formats={})


def tensor(name, *axes, output=False):
    """Axes as strings "p+2r": sums of ranks with coefficients. The walker needs no density model."""
    parsed = []
    for axis in axes:
        terms = [Term(rank=part[-1], coefficient=int(part[:-1] or 1)) for part in axis.split("+")]
        parsed.append(Axis(terms=tuple(terms)))
    return Tensor(name=name, axes=tuple(parsed), output=output, density=None)


def einsum(tensors, **shape):
    return Einsum(ranks=tuple(shape), shape=tuple(shape.values()), tensors=tuple(tensors))


def matmul(m, n, k):
    return einsum([tensor("A", "m", "k"), tensor("B", "n", "k"), tensor("Z", "m", "n", output=True)], m=m, n=n, k=k)


def conv1d(r, p):
    return einsum([tensor("W", "r"), tensor("I", "p+r"), tensor("O", "p", output=True)], p=p, r=r)


def mapped(text, keep, **options):
    """Levels outermost first, split by "|": "m4 n2 k8x" (x: spatial); keep: one string of tensor names a level."""
    loops, bounds, last = [], [], []
    for level, part in enumerate(text.split("|")):
        for word in part.split():
            size, _, residual = word[1:].rstrip("x").partition(",")
            loops.append(Loop(rank=word[0], level=level, axis="x" if word.endswith("x") else None))
            bounds.append(int(size))
            last.append(int(residual or size))
    nest = LoopNest(loops=tuple(loops), keep=tuple(frozenset(k) for k in keep.split("|")), **options)
    return Mapping(nest=nest, bounds=tuple(bounds), residuals=tuple(last) if last != bounds else None)


def full(problem):
    return {t.name: np.ones(problem.tensor_shape(t), dtype=bool) for t in problem.tensors}


def walk(problem, mapping, sparse=DENSE, blocks=None, **data) -> Walk:
    blocks = blocks or (1,) * len(mapping.nest.keep)
    data = {name: np.array(pattern, dtype=bool) for name, pattern in data.items()}
    return Walker(problem, blocks, mapping, sparse).walk({**full(problem), **data})


def totals(walked, level, name):
    t = walked.tensors[level, name]
    return t.reads.total, t.fills.total, t.updates.total


def split(classes):
    return classes.actual, classes.gated, classes.skipped, classes.absent


def fmt(*kinds, **options):
    return TensorFormat(ranks=tuple(RankFormat(kind=k) for k in kinds), **options)


def saf(kind, level, follower, *leaders, **options):
    return Saf(kind=kind, level=level, follower=follower, leaders=leaders, **options)


class TestDense:
    """Counts worked out in dense.md section 12 and in sound.md section 1.1."""

    @pytest.mark.parametrize("text", ["p16 | r3", "r3 | p16"])
    def test_conv1d(self, text):
        walked = walk(conv1d(3, 16), mapped(text, "WIO|WIO"))
        assert totals(walked, 1, "W") == (48, 3, 0)
        assert totals(walked, 1, "I") == (48, 18, 0)
        assert totals(walked, 1, "O") == (32, 0, 48)
        assert totals(walked, 0, "W") == (3, 0, 0)
        assert totals(walked, 0, "I") == (18, 0, 0)
        assert totals(walked, 0, "O") == (0, 0, 16)
        assert walked.computes.total == walked.cycles == 48

    def test_diagonal_spatial_loops_share_equal_words(self):
        """R and P both spatial move the inputs along one diagonal: 6 distinct words for 12 lanes."""
        walked = walk(conv1d(3, 4), mapped("p4x r3x", "WIO"))
        assert totals(walked, 0, "I") == (6, 0, 0)
        assert totals(walked, 0, "W") == (3, 0, 0)
        assert totals(walked, 0, "O") == (0, 0, 4)
        assert walked.cycles == 1
        assert len(walked.lane_work) == 12

    def test_multicast_off(self):
        problem = conv1d(3, 4)
        walked = walk(problem, mapped("p4x r3x", "WIO", no_multicast=frozenset({(0, "I"), (0, "O")})))
        assert totals(walked, 0, "I") == (12, 0, 0)
        assert totals(walked, 0, "W") == (3, 0, 0)
        assert totals(walked, 0, "O") == (8, 0, 12)

    def test_no_temporal_reuse(self):
        walked = walk(conv1d(3, 4), mapped("p4 | r3", "WIO|WIO", no_temporal_reuse=frozenset({(1, "W"), (1, "I")})))
        assert totals(walked, 1, "W") == (12, 12, 0)
        assert totals(walked, 1, "I") == (12, 12, 0)

    def test_output_revisits(self):
        """A reduction loop outside the output's loop: written out and read back once per further pass."""
        walked = walk(matmul(4, 1, 6), mapped("k3 m2 | m2 k2", "ABZ|ABZ"))
        assert totals(walked, 1, "Z") == (24 - 4, 12 - 4, 24)
        assert totals(walked, 0, "Z") == (12 - 4, 0, 12)

    def test_spatial_reduction_and_multicast(self):
        walked = walk(matmul(2, 3, 4), mapped("m2 k4x n3x | ", "ABZ|AZ"))
        assert totals(walked, 0, "A") == (8, 0, 0)
        assert totals(walked, 1, "A") == (24, 24, 0)
        assert totals(walked, 0, "B") == (24, 0, 0)
        assert totals(walked, 0, "Z") == (0, 0, 6)
        assert totals(walked, 1, "Z") == (0, 0, 24)

    def test_bypass(self):
        walked = walk(matmul(2, 3, 4), mapped("m2 | n3 | k4", "ABZ|Z|AB"))
        assert (1, "A") not in walked.tensors
        assert totals(walked, 0, "A") == (8, 0, 0)
        assert totals(walked, 2, "A") == (24, 8, 0)
        assert totals(walked, 2, "B") == (24, 24, 0)
        assert totals(walked, 1, "Z") == (18, 0, 24)

    def test_imperfect_spatial_factor(self):
        """M = 7 as 2 x (4, 3) spatial: the fourth lane idles in the second pass (dense.md Q-4, Q-5)."""
        walked = walk(matmul(7, 1, 3), mapped("m2 m4,3x | k3", "ABZ|ABZ"))
        assert walked.computes.total == 21
        assert sorted(walked.lane_work) == [3, 6, 6, 6]
        assert walked.cycles == 6
        assert totals(walked, 1, "A") == (21, 21, 0)
        assert totals(walked, 0, "B") == (3, 0, 0)
        assert totals(walked, 1, "B") == (21, 12, 0)

    def test_strided_window_with_holes(self):
        """I[2p + 3r] with p, r < 2 touches 0, 2, 3, 5: four distinct words of a box of six."""
        problem = einsum([tensor("I", "2p+3r"), tensor("O", "p", output=True)], p=2, r=2)
        walked = walk(problem, mapped(" | p2 r2", "IO|IO"))
        assert totals(walked, 1, "I") == (4, 4, 0)

    def test_negative_coefficients_count_from_the_far_end(self):
        problem = einsum([tensor("I", "p+-1r"), tensor("O", "p", output=True)], p=3, r=2)
        pattern = np.array([True, False, False, False])  # the word p - r = -1
        walked = walk(problem, mapped("p3 r2", "IO"), Sparse(formats={(0, "I"): fmt("CP", "CP")}), I=pattern)
        assert walked.tensors[0, "I"].reads.actual == 1

    def test_wrong_factors_are_rejected(self):
        with pytest.raises(ValueError, match="factors of rank m"):
            walk(matmul(7, 1, 1), mapped("m2 m4", "ABZ"))


def second_derivation(problem, mapping, level, name):
    """Share and accesses of one kept level straight from section 1.1, by dictionaries of working sets."""
    loops, bounds, t = mapping.nest.loops, mapping.bounds, problem.tensor(name)
    stride = [
        math.prod(b for m, b in zip(loops[i + 1 :], bounds[i + 1 :], strict=True) if m.rank == loops[i].rank)
        for i in range(len(loops))
    ]
    parent = max((p for p in range(level) if p < len(mapping.nest.keep) and name in mapping.nest.keep[p]), default=0)
    sets = {}
    for index in itertools.product(*map(range, bounds)):
        value = dict.fromkeys(problem.ranks, 0)
        for loop, q, s in zip(loops, index, stride, strict=True):
            value[loop.rank] += q * s
        if any(value[r] >= n for r, n in problem.extents.items()):
            continue
        word = tuple(sum(x.coefficient * value[x.rank] for x in axis.terms) for axis in t.axes)
        place = tuple(q for loop, q in zip(loops, index, strict=True) if loop.spatial and loop.level < level)
        above = tuple(q for loop, q in zip(loops, index, strict=True) if loop.spatial and loop.level < parent)
        when = tuple(q for loop, q in zip(loops, index, strict=True) if not loop.spatial and loop.level < level)
        sets.setdefault((above, place), {}).setdefault(when, set()).add(word)
    share, accesses = 0, set()
    for (above, _), steps in sets.items():
        before = set()
        for when in sorted(steps):
            delta = frozenset(steps[when] - (before if level < len(mapping.nest.keep) else set()))
            before = steps[when]
            share += len(delta)
            accesses.add((above, when, delta))
    parts = {(above, w) for (above, _), steps in sets.items() for s in steps.values() for w in s}
    own = {(place, w) for place, steps in sets.items() for s in steps.values() for w in s}
    return share, sum(len(delta) for *_, delta in accesses), len(own), len(parts)


def random_case(rng):
    """A convolution with channels on a random nest, often with imperfect factors."""
    problem = einsum(
        [
            tensor("W", "c", "r"),
            tensor("I", "c", f"{rng.choice([1, 2])}p+{rng.choice([1, 2, 3])}r"),
            tensor("O", "p", output=True),
        ],
        p=rng.choice([3, 4, 6, 7]),
        r=rng.choice([2, 3]),
        c=rng.choice([1, 2]),
    )
    levels, parts = rng.choice([1, 2, 3]), []
    left = dict(problem.extents)
    texts = [[[], []] for _ in range(levels)]
    for rank, size in left.items():
        slots = [(level, rng.random() < 0.3) for level in range(levels) for _ in range(rng.choice([0, 1, 1]))] or [(0, False)]
        rest = size
        for number, (level, spatial) in enumerate(reversed(slots)):  # innermost first, remainders upwards
            bound = rest if number == len(slots) - 1 else rng.choice([1, 2, 3])
            residual = (rest - 1) % bound + 1
            rest = (rest - 1) // bound + 1
            texts[level][spatial].append(f"{rank}{bound},{residual}{'x' if spatial else ''}")
    for temporal, spatial in texts:
        rng.shuffle(temporal)
        parts.append(" ".join(temporal + spatial))
    keep = "|".join("".join(n for n in "WIO" if level == 0 or rng.random() < 0.7) for level in range(levels))
    return problem, mapped("|".join(parts), keep)


@pytest.mark.parametrize("seed", range(40))
def test_dense_counts_by_a_second_derivation(seed):
    problem, mapping = random_case(random.Random(seed))
    walked = walk(problem, mapping)
    assert walked.computes.total == problem.computes == sum(walked.lane_work)
    for (level, name), counted in walked.tensors.items():
        chain = [k for k, kept in enumerate(mapping.nest.keep) if name in kept] + [len(mapping.nest.keep)]
        child = chain[chain.index(level) + 1]
        _, accesses, _, part = second_derivation(problem, mapping, child, name)
        share, _, own, _ = second_derivation(problem, mapping, level, name)
        output = problem.tensor(name).output
        share = (share - own if output else share) if level != chain[0] else 0
        assert totals(walked, level, name) == ((accesses - part, share, accesses) if output else (accesses, share, 0)), counted


def evenly(rows, columns, per_column, shift=0):
    """A pattern with the same number of non-zeros in every column."""
    pattern = np.zeros((rows, columns), dtype=bool)
    for k in range(columns):
        pattern[[(k * per_column + i + shift) % rows for i in range(per_column)], k] = True
    return pattern


class TestWorkedCheck:
    """02.2.1 of sound.md section 11, on tensors with equally filled columns: the expectations hold exactly."""

    def walked(self, intersection):
        sparse = Sparse(
            formats={(0, "A"): fmt("CP", "CP"), (1, "B"): fmt("UOP", "CP")},
            safs=(
                saf("skip", 0, "A", "B", intersection=intersection),
                saf("skip", 1, "B", "A", intersection=intersection),
                saf("skip", 0, "Z", "A", "B"),
            ),
        )
        patterns = {"A": evenly(8, 8, 2), "B": evenly(8, 8, 4, 1)}
        return walk(matmul(8, 8, 8), mapped("|n8 m8 k8", "AZ|B"), sparse, **patterns)

    def test_data(self):
        walked = self.walked("two_finger")
        assert split(walked.tensors[0, "A"].reads) == (64, 0, 64, 384)
        assert split(walked.tensors[1, "B"].reads) == (64, 0, 192, 256)
        assert split(walked.tensors[0, "Z"].updates) == (64, 0, 448, 0)
        assert walked.tensors[0, "Z"].reads.actual == 56
        assert split(walked.computes) == (64, 0, 448, 0)
        assert sum(walked.lane_work) == 64

    def test_metadata(self):
        pointers, coordinates = self.walked("two_finger").tensors[1, "B"].metadata_reads
        assert split(coordinates.metadata) == (256, 0, 0, 256)
        assert coordinates.payload.total == pointers.metadata.total == 0
        assert pointers.payload.actual == pytest.approx(9)
        pointers, coordinates = self.walked("leader_follower").tensors[1, "B"].metadata_reads
        assert split(coordinates.metadata) == (64, 0, 192, 256)
        assert pointers.payload.actual == pytest.approx(9)


class TestFeatures:
    """One feature at a time on one matrix row: a[k] of A against the columns of B."""

    A, B = ((1, 1, 0, 0),), ((1, 0, 1, 0), (0, 0, 0, 0))

    def row(self, text, keep, *safs, **options):
        return walk(matmul(1, 2, 4), mapped(text, keep), Sparse(formats={}, safs=safs, **options), A=self.A, B=self.B)

    def test_skip_at_the_compute_link_is_inherited(self):
        walked = self.row("n2 k4", "ABZ", saf("skip", 0, "A", "B"))
        assert split(walked.tensors[0, "A"].reads) == (2, 0, 6, 0)
        assert split(walked.tensors[0, "B"].reads) == (2, 0, 0, 6)
        assert split(walked.tensors[0, "Z"].updates) == (2, 0, 0, 6)
        assert split(walked.tensors[0, "Z"].reads) == (1, 0, 0, 5)
        assert split(walked.computes) == (2, 0, 6, 0)
        assert walked.lockstep_cycles == 2

    def test_implied_skips_off(self):
        walked = self.row("n2 k4", "ABZ", saf("skip", 0, "A", "B"), implied_skips=False)
        assert split(walked.tensors[0, "B"].reads) == (8, 0, 0, 0)
        assert split(walked.tensors[0, "Z"].updates) == (8, 0, 0, 0)
        assert split(walked.computes) == (2, 0, 6, 0)

    def test_gate_keeps_the_slots(self):
        walked = self.row("n2 k4", "ABZ", saf("gate", 0, "A", "B"))
        assert split(walked.tensors[0, "A"].reads) == (2, 6, 0, 0)
        assert split(walked.tensors[0, "B"].reads) == (8, 0, 0, 0)
        assert split(walked.computes) == (2, 6, 0, 0)
        assert walked.lane_work == (8,)

    def test_several_leaders(self):
        walked = self.row("n2 k4", "ABZ", saf("gate", 0, "Z", "A", "B"))
        assert split(walked.tensors[0, "Z"].updates) == (1, 7, 0, 0)
        assert split(walked.computes) == (8, 0, 0, 0)

    def test_outer_skip_reads_the_leader_met_during_the_stay(self):
        """A stays at the inner level over the loop n: it is needed if either column of B is not zero."""
        walked = self.row("k4 n2 |", "ABZ|A", saf("skip", 0, "A", "B"))
        assert split(walked.tensors[0, "A"].reads) == (2, 0, 2, 0)
        assert split(walked.tensors[1, "A"].fills) == (2, 0, 2, 0)
        assert split(walked.tensors[1, "A"].reads) == (4, 0, 0, 4)
        assert split(walked.tensors[0, "B"].reads) == (4, 0, 0, 4)
        assert split(walked.computes) == (4, 0, 4, 0)

    def test_outer_gate(self):
        walked = self.row("k4 n2 |", "ABZ|A", saf("gate", 0, "A", "B"))
        assert split(walked.tensors[1, "A"].fills) == (2, 2, 0, 0)
        assert split(walked.tensors[1, "A"].reads) == (4, 4, 0, 0)

    def test_skip_beats_gate(self):
        walked = self.row("n2 k4", "ABZ", saf("gate", 0, "A", "B"), saf("skip", 0, "A", "A"))
        assert split(walked.tensors[0, "A"].reads) == (1, 3, 4, 0)
        assert split(walked.computes) == (1, 3, 4, 0)

    def test_multicast_group_is_all_or_nothing_unless_spatial(self):
        for kind, fills, computes in [("skip", 4, 4), ("spatial_skip", 2, 2)]:
            walked = self.row("k4 n2x |", "ABZ|A", saf(kind, 0, "A", "B"))
            assert split(walked.tensors[0, "A"].reads) == (2, 0, 2, 0)
            assert walked.tensors[1, "A"].fills.actual == fills
            assert walked.computes.actual == computes
            assert walked.lockstep_cycles == 2

    def test_block_size_widens_the_check(self):
        """Two words of A per access: the pair (0, 1) meets b0, the pair (2, 3) meets b2."""
        sparse = Sparse(formats={}, safs=(saf("skip", 0, "A", "B"),))
        walked = walk(matmul(1, 2, 4), mapped("n2 k4", "ABZ"), sparse, blocks=(2,), A=self.A, B=self.B)
        assert split(walked.tensors[0, "A"].reads) == (4, 0, 4, 0)

    def test_compute_features(self):
        formats = {(0, "A"): fmt("UB", "UB")}
        data = {"A": self.A, "B": self.B}
        skip = walk(matmul(1, 2, 4), mapped("n2 k4", "ABZ"), Sparse(formats=formats, compute_skip=True), **data)
        assert split(skip.computes) == (4, 0, 4, 0)  # only A has metadata
        assert split(skip.tensors[0, "A"].reads) == (8, 0, 0, 0)
        assert split(skip.tensors[0, "Z"].updates) == (4, 0, 0, 4)
        gate = walk(matmul(1, 2, 4), mapped("n2 k4", "ABZ"), Sparse(formats={}, compute_gate=True), **data)
        assert split(gate.computes) == (1, 7, 0, 0)

    def test_sliding_window_stays_while_any_window_needs_it(self):
        """I[p + r] of windows of 2 over p = 0..2; W gates on nothing, O's leader decides: words met by live windows."""
        problem = einsum([tensor("I", "p+r"), tensor("M", "p"), tensor("O", "p", output=True)], p=3, r=2)
        sparse = Sparse(formats={}, safs=(saf("skip", 0, "I", "M"),))
        walked = walk(problem, mapped("p3 | r2", "IMO|I"), sparse, M=[0, 0, 1])
        # stays: word 0 p=0, word 1 p=0..1, word 2 p=1..2, word 3 p=2
        assert split(walked.tensors[0, "I"].reads) == (2, 0, 2, 0)

    def test_timeloop_spatial_skip_needs_a_format(self):
        walked = self.row("k4 n2x |", "ABZ|A", saf("spatial_skip", 0, "A", "B"), timeloop_reading=True)
        assert split(walked.computes) == (8, 0, 0, 0)

    def test_choice_is_rejected(self):
        with pytest.raises(ValueError, match="choice"):
            self.row("n2 k4", "ABZ", saf("skip", 0, "A", "B", choice=1))


class TestFormats:
    """Compression and the entries of format ranks."""

    A = ((1, 0, 0, 0), (0, 0, 0, 0), (1, 1, 0, 1))

    def test_compressed_words_are_absent_and_decompressed_dense(self):
        sparse = Sparse(formats={(0, "A"): fmt("CP", "CP"), (0, "Z"): fmt("CP")})
        walked = walk(matmul(3, 1, 4), mapped("m3 | k4", "ABZ|AZ"), sparse, A=self.A, Z=[[1], [0], [0]])
        assert split(walked.tensors[0, "A"].reads) == (4, 0, 0, 8)
        assert split(walked.tensors[1, "A"].fills) == (12, 0, 0, 0)
        assert walked.tensors[1, "A"].decompress == 12
        assert split(walked.tensors[0, "Z"].updates) == (1, 0, 0, 2)
        assert walked.tensors[0, "Z"].compress == 1

    def test_inner_ranks_travel_and_own_ranks_are_walked(self):
        sparse = Sparse(formats={(0, "A"): fmt("UOP", "CP"), (1, "A"): fmt("CP")})
        walked = walk(matmul(3, 2, 4), mapped("m3 n2 | k4", "ABZ|ABZ"), sparse, A=self.A)
        rows, entries = walked.tensors[0, "A"].metadata_reads
        assert split(rows.payload) == pytest.approx((4, 0, 0, 0))  # three pointers and one end
        assert split(entries.metadata) == (4, 0, 0, 8)
        assert entries.payload.total == 0
        assert split(walked.tensors[1, "A"].metadata_fills[0].metadata) == (4, 0, 0, 8)
        assert split(walked.tensors[1, "A"].metadata_reads[0].metadata) == (8, 0, 0, 16)

    def test_inner_ranks_follow_a_skipped_delivery(self):
        sparse = Sparse(formats={(0, "A"): fmt("UOP", "CP"), (1, "A"): fmt("CP")}, safs=(saf("skip", 0, "A", "B"),))
        walked = walk(matmul(3, 1, 4), mapped("m3 | k4", "ABZ|ABZ"), sparse, A=self.A, B=np.zeros((1, 4)))
        rows, entries = walked.tensors[0, "A"].metadata_reads
        # all of B is seen at once, so that it is known before A's rows are entered
        assert split(rows.payload) == pytest.approx((0, 0, 4, 0))
        assert split(entries.metadata) == (0, 0, 4, 8)
        assert split(walked.tensors[1, "A"].metadata_fills[0].metadata) == (0, 0, 4, 8)
        assert split(walked.tensors[1, "A"].metadata_reads[0].metadata) == (0, 0, 0, 12)

    def test_bitmap(self):
        sparse = Sparse(formats={(0, "A"): fmt("B", "B")})
        walked = walk(matmul(3, 1, 4), mapped("m3 k4", "ABZ"), sparse, A=self.A)
        rows, entries = walked.tensors[0, "A"].metadata_reads
        assert split(rows.metadata) == (3, 0, 0, 0)
        assert split(rows.payload) == (2, 0, 0, 1)
        assert split(entries.metadata) == (8, 0, 0, 4)  # the empty row has no bits

    def test_uncompressed_bitmap_moves_zeros(self):
        sparse = Sparse(formats={(0, "A"): fmt("UB", "UB")})
        walked = walk(matmul(3, 1, 4), mapped("m3 k4", "ABZ"), sparse, A=self.A)
        assert split(walked.tensors[0, "A"].reads) == (12, 0, 0, 0)
        assert split(walked.tensors[0, "A"].metadata_reads[1].metadata) == (12, 0, 0, 0)

    def test_leader_known_before_the_fibre_is_entered(self):
        """B's columns are not looked at where A's row element is zero; its row pointers always are."""
        problem = einsum([tensor("A", "m"), tensor("B", "m", "k"), tensor("Z", "m", output=True)], m=3, k=4)
        sparse = Sparse(formats={(0, "B"): fmt("UOP", "CP")}, safs=(saf("skip", 0, "B", "A"),))
        walked = walk(problem, mapped("m3 k4", "ABZ"), sparse, A=[1, 0, 0])
        rows, entries = walked.tensors[0, "B"].metadata_reads
        assert split(rows.payload) == pytest.approx((4, 0, 0, 0))
        assert split(entries.metadata) == (4, 0, 8, 0)

    def test_skip_ahead(self):
        """A = {0, 1, 2, 5}, B = {2, 4, 5}: only 2 (after B's 2) and 5 (after B's 4) of A are looked at."""
        sparse = Sparse(formats={(0, "A"): fmt("CP")}, safs=(saf("skip", 0, "A", "B", intersection="skip_ahead"),))
        a, b = [[1, 1, 1, 0, 0, 1, 0, 0]], [[0, 0, 1, 0, 1, 1, 0, 0]]
        walked = walk(matmul(1, 1, 8), mapped("k8", "ABZ"), sparse, A=a, B=b)
        assert split(walked.tensors[0, "A"].metadata_reads[0].metadata) == (2, 0, 2, 4)
        assert split(walked.tensors[0, "A"].reads) == (2, 0, 2, 4)

    def test_lone_word_carries_its_coordinate(self):
        sparse = Sparse(formats={(0, "A"): fmt("CP"), (1, "A"): fmt("CP")})
        walked = walk(matmul(3, 2, 1), mapped("m3 n2 |", "ABZ|A"), sparse, A=[[1], [0], [1]])
        (entry,) = walked.tensors[1, "A"].metadata_fills
        assert split(entry.metadata) == (2, 0, 0, 1)
        (entry,) = walked.tensors[1, "A"].metadata_reads
        assert split(entry.metadata) == (4, 0, 0, 2)

    def test_output_entries(self):
        sparse = Sparse(formats={(0, "Z"): fmt("CP")})
        walked = walk(matmul(3, 1, 2), mapped("k2 m3", "ABZ"), sparse, Z=[[1], [1], [0]])
        (read,), (update,) = walked.tensors[0, "Z"].metadata_reads, walked.tensors[0, "Z"].metadata_updates
        assert split(update.metadata) == (4, 0, 0, 2)
        assert split(read.metadata) == (2, 0, 0, 1)

    def units(self, form, text="m3 k4"):
        walked = walk(matmul(3, 1, 4), mapped(text, "ABZ"), Sparse(formats={(0, "A"): form}))
        return [rank.metadata.total for rank in walked.tensors[0, "A"].metadata_reads]

    def test_layout(self):
        grouped = RankFormat(kind="CP", groups=(("k", "m"),))
        other = RankFormat(kind="CP", groups=(("n",),))
        plain = RankFormat(kind="CP")
        assert self.units(fmt("CP")) == [3, 12]  # repeated automatically
        assert self.units(fmt("CP", "CP", "CP")) == [3, 12, 0]
        assert self.units(fmt("CP", "CP", "CP", order="inner_to_outer")) == [0, 3, 12]
        assert self.units(TensorFormat(ranks=(grouped,))) == [12]
        assert self.units(TensorFormat(ranks=(other, plain, plain))) == [0, 3, 12]
        assert self.units(TensorFormat(ranks=(plain, other, plain), order="inner_to_outer")) == [3, 0, 12]
        with pytest.raises(ValueError, match="too few ranks"):
            self.units(fmt("CP", automatic=False))

    def test_compressed_below_uncompressed_is_rejected(self):
        with pytest.raises(ValueError, match="compressed at level 1"):
            walk(matmul(1, 1, 4), mapped("| k4", "ABZ|ABZ"), Sparse(formats={(1, "A"): fmt("CP")}))


def all_classes(walked):
    """Every record of a walk, with a name."""
    yield "computes", walked.computes
    for (level, name), t in walked.tensors.items():
        for kind in ("reads", "fills", "updates"):
            yield f"{level}.{name}.{kind}", getattr(t, kind)
            for r, rank in enumerate(getattr(t, f"metadata_{kind}")):
                yield f"{level}.{name}.{kind}.{r}.metadata", rank.metadata
                yield f"{level}.{name}.{kind}.{r}.payload", rank.payload


def random_specification(rng):
    text, keep = rng.choice(
        [
            ("m2 k2 n2x | n2 k2", "ABZ|ABZ"),
            ("k2 m2 | n2 m2x | k2 n2", "ABZ|BZ|AB"),
            ("n2 k4x | m2", "ABZ|AZ"),
            ("m2 n2 k2 | k2 n2x", "AZ|ABZ"),
            ("m3,2 k2 n2x | m2,1 k2,2", "ABZ|ABZ"),
        ]
    )
    sizes = {}
    mapping = mapped(text, keep)
    for rank in "mnk":
        size = 0
        for loop, bound, last in zip(mapping.nest.loops, mapping.bounds, mapping.residuals or mapping.bounds, strict=True):
            size = size * bound + last - 1 if loop.rank == rank else size
        sizes[rank] = size + 1
    levels = range(len(mapping.nest.keep))
    kinds = rng.choice([("CP",), ("UOP", "CP"), ("B",)])
    formats = {(k, "A"): fmt(*kinds) for k in levels if "A" in mapping.nest.keep[k]}
    safs = []
    for _ in range(rng.choice([1, 2, 3])):
        follower = rng.choice("ABZ")
        lowest = min(k for k in levels if follower in mapping.nest.keep[k])
        leaders = tuple(rng.sample("AB", rng.choice([1, 2])))
        safs.append(
            saf(rng.choice(["skip", "gate", "spatial_skip"]), rng.choice([k for k in levels if k >= lowest]), follower, *leaders)
        )
    sparse = {"compute_skip": rng.random() < 0.3, "compute_gate": rng.random() < 0.3, "implied_skips": rng.random() < 0.6}
    return matmul(**sizes), mapping, formats, tuple(safs), sparse


@pytest.mark.parametrize("seed", range(30))
def test_laws(seed):
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    problem, mapping, formats, safs, options = random_specification(rng)
    data = {t.name: draw.random(problem.tensor_shape(t)) < 0.4 for t in problem.tensors}
    dense = dict(all_classes(walk(problem, mapping, Sparse(formats=formats))))
    ones = dict(all_classes(walk(problem, mapping, Sparse(formats=formats, safs=safs, **options))))
    walked = walk(problem, mapping, Sparse(formats=formats, safs=safs, **options), **data)
    fewer = dict(all_classes(walk(problem, mapping, Sparse(formats=formats, safs=safs[:-1], **options), **data)))
    for name, classes in all_classes(walked):
        assert sum(split(classes)) == pytest.approx(classes.total), name
        assert min(split(classes)) >= 0, name
        assert classes.total == pytest.approx(dense[name].total) == pytest.approx(ones[name].actual), name
        assert classes.actual <= fewer[name].actual + 1e-9, name
    if not any(s.kind == "spatial_skip" for s in safs) and mapping.residuals is None:
        for (level, name), t in walked.tensors.items():
            outer = [k for k in range(level) if name in mapping.nest.keep[k]]
            if outer:
                reads = walked.tensors[outer[-1], name].reads
                multicast = t.fills.total / reads.total if reads.total else 0
                assert t.fills.actual == pytest.approx(reads.actual * multicast), (level, name)


def test_empty_tensor_leaves_nothing_to_do():
    sparse = Sparse(formats={(0, "A"): fmt("CP")}, safs=(saf("skip", 0, "A", "A"),))
    walked = walk(matmul(2, 2, 2), mapped("m2 n2 k2", "ABZ"), sparse, A=np.zeros((2, 2)))
    assert walked.computes == Classes(total=8, skipped=8)
    assert all(c.actual == 0 for name, c in all_classes(walked) if "metadata" not in name and "payload" not in name)
