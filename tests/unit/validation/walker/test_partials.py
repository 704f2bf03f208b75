"""Results in the making, worked by hand: what copies of a compressed result hold, read, fill and return."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparseloop.model.design.sparse import Sparse
from sparseloop.validation.walker import Walker
from tests.helpers.walks import einsum, fmt, mapped, matmul, split, tensor

BOTH = {(0, "Z"): fmt("CP"), (1, "Z"): fmt("CP")}
ROW = einsum([tensor("A", "k", "m"), tensor("Z", "m", output=True)], k=3, m=4)


def walked(problem, mapping, sparse, partials="whole", **data):
    given = {t.name: np.ones(problem.tensor_shape(t), dtype=bool) for t in problem.tensors if not t.output}
    given |= {name: np.array(pattern, dtype=bool) for name, pattern in data.items()}
    sparse = replace(sparse, partials=dict.fromkeys(range(len(mapping.nest.keep)), partials))
    return Walker(problem, [1] * len(mapping.nest.keep), mapping, sparse).walk(given)


class TestPasses:
    """Three passes over Z[m], of which the first touches words 0 and 1, the second 1 and 2, the third nothing."""

    A = ((1, 1, 0, 0), (0, 1, 1, 0), (0, 0, 0, 0))

    def walk(self, partials):
        return walked(ROW, mapped("k3 m2|m2", "AZ|AZ"), Sparse(formats=BOTH), partials, A=self.A)

    def test_whole_copies(self):
        found = self.walk("whole").tensors
        assert found[0, "Z"].updates.actual == 2 + 3 + 3
        assert found[0, "Z"].reads.actual == 0 + 2 + 3
        assert found[1, "Z"].fills.actual == 0 + 2 + 3
        assert found[0, "Z"].updates.total == 12
        assert found[0, "Z"].reads.total == 8

    def test_changed_words(self):
        found = self.walk("changed").tensors
        assert found[0, "Z"].updates.actual == 2 + 2 + 0
        assert found[0, "Z"].reads.actual == 0 + 2 + 3

    def test_sums_that_the_parent_adds(self):
        found = self.walk("add").tensors
        assert found[0, "Z"].updates.actual == 2 + 2 + 0
        assert found[0, "Z"].reads.actual == 1
        assert found[1, "Z"].fills.actual == 0

    def test_entries_go_with_their_words(self):
        found = self.walk("whole").tensors[0, "Z"]
        assert found.metadata_updates[-1].metadata.actual == 2 + 3 + 3
        assert found.metadata_reads[-1].metadata.actual == 0 + 2 + 3

    def test_at_the_compute_link(self):
        """Every compute reads the word that is there, and returns it if it is there or new."""
        found = self.walk("whole").tensors[1, "Z"]
        assert found.reads.actual == 0 + 2 + 3
        assert found.updates.actual == 2 + 3 + 3
        skipped = walked(
            ROW,
            mapped("k3 m2|m2", "AZ|AZ"),
            Sparse(formats=BOTH | {(1, "A"): fmt("CP"), (0, "A"): fmt("CP")}, compute_skip=True),
            A=self.A,
        ).tensors[1, "Z"]
        assert split(skipped.updates) == (4, 0, 0, 8)
        assert skipped.reads.actual == 1


def test_a_plain_result_moves_zeros() -> None:
    found = walked(ROW, mapped("k3 m2|m2", "AZ|AZ"), Sparse(formats={}), A=TestPasses.A)
    assert found.tensors[0, "Z"].updates.actual == 12
    assert found.tensors[0, "Z"].reads.actual == 8


def test_spatial_reduction_unites() -> None:
    """Two lanes share the contraction: their words are returned once, united."""
    problem = einsum([tensor("A", "k", "m"), tensor("Z", "m", output=True)], k=2, m=3)
    found = walked(problem, mapped("k2x|m3", "AZ|AZ"), Sparse(formats=BOTH), A=((1, 0, 0), (1, 1, 0)))
    assert found.tensors[0, "Z"].updates.actual == 2
    assert found.tensors[0, "Z"].updates.total == 3


def test_the_mean_of_a_sparse_product() -> None:
    """4 x 4 x 8, densities 1/4 and 1/2, no computes that add nothing: 16 contributions, the first of a word reads nothing."""
    sparse = Sparse(formats={(0, name): fmt("B") for name in "ABZ"}, compute_skip=True)
    walker = Walker(matmul(4, 4, 8), [1], mapped("m4 n4 k8", "ABZ"), sparse)
    rng = np.random.default_rng(5)
    reads, updates = list[float](), list[float]()
    for _ in range(2000):
        data = {name: np.zeros(32, dtype=bool) for name in "AB"}
        data["A"][rng.permutation(32)[:8]] = True
        data["B"][rng.permutation(32)[:16]] = True
        found = walker.walk({name: pattern.reshape(4, 8) for name, pattern in data.items()}).tensors[0, "Z"]
        reads.append(found.reads.actual)
        updates.append(found.updates.actual)
    assert np.mean(updates) == pytest.approx(16, abs=5 * np.std(updates) / 2000**0.5)
    assert np.mean(reads) == pytest.approx(5.08, abs=5 * np.std(reads) / 2000**0.5 + 0.005)
