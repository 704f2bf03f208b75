"""What copies of a result return and are filled with (`partials`), by hand."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl

SPEC = """
workload:
  einsum: "Z[m] = A[k,m]"
  shape: {{k: 3, m: 4}}
  density: {{A: {density}}}
architecture:
  levels:
    - {{name: L0, class: buffer}}
    - {{name: L1, class: buffer}}
    - {{name: MAC, class: mac}}
mapping:
  - L0: for k=3 m=2
  - L1: for m=2
sparse:
  L0: {{formats: {{Z: CP}}, partials: {partials}}}
  L1: {{formats: {{Z: CP}}}}
"""


def words(partials: str, density: str) -> dict[str, float]:
    """Updates and reads of L0, fills of L1, reads and updates of L1 by the computes."""
    cost = sl.evaluate(sl.loads(SPEC.format(partials=partials, density=density))).cost
    outer, inner = (k for k in cost.sparse.links if k.dense.link.name == "Z")
    found = {"updates": outer.updates, "reads": outer.reads, "fills": outer.fills}
    found |= {"computes read": inner.reads, "computes write": inner.updates}
    return {name: float(events.actual) for name, events in found.items()}


def test_given_data(tmp_path) -> None:
    """Three passes over Z[m], of which the first touches words 0 and 1, the second 1 and 2, the third nothing."""
    np.save(tmp_path / "A.npy", np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]))
    given = f"{{model: actual, file: {tmp_path / 'A.npy'}}}"
    assert words("whole", given) == {"updates": 8, "reads": 5, "fills": 5, "computes read": 5, "computes write": 8}
    assert words("changed", given) == {"updates": 4, "reads": 5, "fills": 5, "computes read": 5, "computes write": 8}
    assert words("add", given) == {"updates": 4, "reads": 1, "fills": 0, "computes read": 0, "computes write": 4}


def test_what_copies_of_given_data_hold(tmp_path: Path) -> None:
    """With `add` L1 has 2 and 0 words of the two tiles in the first pass, 1 and 1 in the second, none in the third."""
    np.save(tmp_path / "A.npy", np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]))
    for partials, mean, worst in (("whole", 3 / 2, 2), ("add", 4 / 6, 2)):
        spec = sl.loads(SPEC.format(partials=partials, density=f"{{model: actual, file: {tmp_path / 'A.npy'}}}"))
        held = next(
            k.resident for k in sl.evaluate(spec).cost.sparse.links if (k.dense.link.name, k.dense.link.parent) == ("Z", 1)
        )
        assert (held.occupancy, held.worst) == (pytest.approx(mean), worst)
        assert float(held.metadata_bits) == pytest.approx(mean * 8)  # a coordinate of 8 bits for each word
        assert held.quantile(0.5) == (1 if partials == "whole" else 0)


@pytest.mark.parametrize("density", [0.25, 0.5])
def test_random_data(density: float) -> None:
    """P(a word has come after q of the 3 passes) = 1 - C(12 - q, r) / C(12, r); a merge: it comes, and has come before."""
    r = round(12 * density)
    come = [1 - comb(12 - q, r) / comb(12, r) for q in range(4)]
    before, merged = 4 * (come[1] + come[2]), 4 * sum(come[1] + come[q] - come[q + 1] for q in (1, 2))
    random = f"{{model: uniform, density: {density}}}"
    whole = {"updates": 4 * sum(come), "reads": before, "fills": before}
    assert words("whole", random) == pytest.approx({**whole, "computes read": before, "computes write": 4 * sum(come)})
    changed = {**whole, "updates": 12 * come[1], "computes read": before, "computes write": 4 * sum(come)}
    assert words("changed", random) == pytest.approx(changed)
    added = {"updates": 12 * come[1], "reads": merged, "fills": 0, "computes read": 0, "computes write": 12 * come[1]}
    assert words("add", random) == pytest.approx(added)


def test_dense_operands() -> None:
    """All words come in every pass: copies that start empty are merged from the second one on."""
    assert words("add", "1.0") == {"updates": 12, "reads": 8, "fills": 0, "computes read": 0, "computes write": 12}
    assert words("changed", "1.0") == words("whole", "1.0")


def test_what_has_no_effect_is_told() -> None:
    for density, formats in (("{A: 0.5, Z: 0.5}", "Z: CP"), ("{A: 0.5}", "Z: UB")):
        text = SPEC.format(partials="add", density="0.5").replace("{A: 0.5}", density).replace("Z: CP", formats)
        told = [w for w in sl.evaluate(sl.loads(text)).warnings if "partials: add has no effect" in w]
        assert len(told) == 1


def test_the_compute_level_has_none() -> None:
    text = SPEC.format(partials="add", density="0.5") + "  MAC: {partials: add}\n"
    with pytest.raises(sl.SpecError, match="the compute level holds no partial sums"):
        sl.evaluate(sl.loads(text))


def test_copies_below_one_that_starts_empty_start_empty(tmp_path) -> None:
    """L1 adds, so L2 begins anew in each of the two passes over k at L0, though L1 itself goes on with what it had."""
    np.save(tmp_path / "A.npy", np.ones((2, 4)))
    text = SPEC.format(partials="changed", density=f"{{model: actual, file: {tmp_path / 'A.npy'}}}").replace("k: 3", "k: 2")
    text = text.replace("    - {name: MAC", "    - {name: L2, class: buffer}\n    - {name: MAC")
    text = text.replace("  - L0: for k=3 m=2\n  - L1: for m=2\n", "  - L0: for k=2 m=2\n  - L1:\n  - L2: for m=2\n")
    text = text.replace("L1: {formats: {Z: CP}}", "L1: {formats: {Z: CP}, partials: add}\n  L2: {formats: {Z: CP}}")
    cost = sl.evaluate(sl.loads(text)).cost
    outer, middle, inner = (k for k in cost.sparse.links if k.dense.link.name == "Z")
    assert [float(k.updates.actual) for k in (outer, middle, inner)] == [8, 8, 8]
    assert [float(k.reads.actual) for k in (outer, middle, inner)] == [4, 4, 0]
