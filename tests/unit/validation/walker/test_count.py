"""The brute-force walker without sparse features: examples worked by hand, and a second, tiny derivation of the counts."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from sparseloop.model.design.sparse import Sparse
from tests.helpers.walks import conv1d, einsum, fmt, mapped, matmul, tensor, totals, walk


class TestDense:
    """Counts worked out by hand."""

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
        """M = 7 as 2 x (4, 3) spatial: the fourth lane idles in the second pass."""
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
