"""The brute-force walker with gating and skipping: examples worked by hand, and laws on random specifications."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker import WalkedCounts
from tests.helpers.walks import einsum, fmt, mapped, matmul, saf, split, tensor, walk


def evenly(rows, columns, per_column, shift=0):
    """A pattern with the same number of non-zeros in every column."""
    pattern = np.zeros((rows, columns), dtype=bool)
    for k in range(columns):
        pattern[[(k * per_column + i + shift) % rows for i in range(per_column)], k] = True
    return pattern


class TestWorkedCheck:
    """Exercise 02.2.1 of Timeloop's tutorial on tensors with equally filled columns, for which the expectations hold exactly."""

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

    def test_timeloop_spatial_skip_looks_at_leaders_with_a_format(self):
        skip, data = saf("spatial_skip", 0, "Z", "A", "B"), {"A": self.A, "B": self.B}
        for formats, kept in ((set[str](), 8), ({"A"}, 4), ({"A", "B"}, 1)):
            sparse = Sparse(formats={(0, name): fmt("UB") for name in formats}, safs=(skip,), timeloop_reading=True)
            walked = walk(matmul(1, 2, 4), mapped("k4 n2x |", "ABZ|"), sparse, **data)
            assert split(walked.tensors[0, "Z"].updates)[0] == kept

    def test_choice_is_rejected(self):
        with pytest.raises(ValueError, match="choice"):
            self.row("n2 k4", "ABZ", saf("skip", 0, "A", "B", choice=1))


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
    assert walked.computes == WalkedCounts(total=8, skipped=8)
    assert all(c.actual == 0 for name, c in all_classes(walked) if "metadata" not in name and "payload" not in name)
