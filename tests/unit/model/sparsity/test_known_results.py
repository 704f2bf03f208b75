"""What results of known operands hold while they are made: by hand, and beside the walker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.evaluation.evaluate import design_of, evaluate_mapping
from sparseloop.validation.walker import Walker

HEAD = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 4, n: 6, k: 8}
  density: {A: a.npy, B: b.npy}
architecture:
  levels:
    - {name: L2, class: buffer}
    - {name: PE, fanout: 16}
    - {name: L1, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
"""
SPARSE = """
sparse:
  L2: {formats: {A: CP CP, B: B CP, Z: ZZ}, skip: [B <- A]}
  L1: {formats: {A: CP CP, B: B CP, Z: ZZ}, skip: [B <- A, Z <- A B], gate: [A <- B]}
  L0: {formats: {A: CP CP, B: B CP, Z: ZZ}, skip: [Z <- A, B <- A]}
"""
FORMS = ("CP CP", "UOP CP", "B B")
MAPPINGS = {
    "Gustavson": "mapping: [{L2: for m=4}, {L1: for k=8 n=6}, {L0: }]",
    "inner product": "mapping: [{L2: for m=4 n=6}, {L1: for k=8}, {L0: }]",
    "outer product": "mapping: [{L2: for k=8}, {L1: for m=4 n=6}, {L0: }]",
    "outer product of tiles": "mapping: [{L2: for k=4 m=2}, {L1: for k=2 m=2}, {L0: for n=6}]",
    "lanes that add": "mapping: [{L2: for k=2 m=4}, {PE: k=2}, {L1: for k=2 n=2}, {L0: for n=3}]",
    "lanes that add within passes": "mapping: [{L2: for k=2 n=2}, {PE: k=2 m=2}, {L1: for n=3 k=2}, {L0: for m=2}]",
    "passes around passes": "mapping: [{L2: for k=2 m=2 n=3}, {L1: for k=2 m=2}, {L0: for k=2 n=2}]",
}


def compared(folder: Path, text: str, a: np.ndarray, b: np.ndarray) -> list[tuple[str, float, float]]:
    """Counts of the result: name, model, walker."""
    np.save(folder / "a.npy", a)
    np.save(folder / "b.npy", b)
    (folder / "spec.yaml").write_text(text)
    result = sl.evaluate(sl.load(folder / "spec.yaml"))
    plan, mapping = result.plan, result.design.mapping
    blocks = [level.block_size for level in plan.arch.storage]
    walk = Walker(plan.einsum, blocks, mapping, plan.sparse).walk({"A": a, "B": b})
    ours, theirs = dict[str, float](), dict[str, float]()
    inner = {k.dense.link.child: k for k in result.cost.sparse.links if k.dense.link.name == "Z"}
    for k in result.cost.sparse.links:
        link = k.dense.link
        if link.name != "Z":
            continue
        found = walk.tensors[link.parent, "Z"]
        at = f"{link.parent} "
        add(ours, f"{at}reads", k.reads)
        add(ours, f"{at}updates", k.updates)
        if link.parent in inner:
            add(ours, f"{at}fills", inner[link.parent].fills)
        for kind in ("reads", "updates", "fills"):
            add(theirs, at + kind, getattr(found, kind))
            for number, rank in enumerate(reversed(k.ranks)):
                add(ours, f"{at}{kind} of entries, rank {number}", rank.entries[kind])
                add(ours, f"{at}{kind} of payloads, rank {number}", rank.payloads[kind])
            for number, units in enumerate(reversed(getattr(found, f"metadata_{kind}"))):
                # what the walker adds for repetitions of the outermost rank counts as that rank
                add(theirs, f"{at}{kind} of entries, rank {min(number, len(k.ranks) - 1)}", units.metadata)
                add(theirs, f"{at}{kind} of payloads, rank {min(number, len(k.ranks) - 1)}", units.payload)
    return [(name, value, theirs[name]) for name, value in ours.items()]


def add(counts: dict[str, float], name: str, events: Any) -> None:
    for of in ("total", "actual", "gated", "skipped", "absent"):
        counts[f"{name} {of}"] = counts.get(f"{name} {of}", 0.0) + float(getattr(events, of))


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((4, 8)) < 0.3, rng.random((8, 6)) < 0.3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", MAPPINGS)
def test_counts_are_those_of_the_walker(tmp_path: Path, order: str, form: str) -> None:
    rows = compared(tmp_path, HEAD + MAPPINGS[order] + SPARSE.replace("ZZ", form), *drawn(FORMS.index(form)))
    assert len(rows) > 100
    for name, model, walked in rows:
        assert model == pytest.approx(walked, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("order", MAPPINGS)
def test_what_copies_hold_that_start_empty_is_that_of_the_walker(tmp_path: Path, order: str) -> None:
    """Mean and largest number of words, and bits of metadata that follow from it."""
    text = HEAD + MAPPINGS[order] + SPARSE.replace("ZZ", "CP CP").replace("skip: [B <- A", "partials: add, skip: [B <- A")
    a, b = drawn(1)
    compared(tmp_path, text, a, b)
    result = sl.evaluate(sl.load(tmp_path / "spec.yaml"))
    plan = result.plan
    blocks = [level.block_size for level in plan.arch.storage]
    walk = Walker(plan.einsum, blocks, result.design.mapping, plan.sparse).walk({"A": a, "B": b})
    links = [k for k in result.cost.sparse.links if k.dense.link.name == "Z"]
    assert [k.dense.link.partials for k in links] == ["add", "add", "whole"]
    for k in links[1:]:
        found = (k.resident.occupancy, k.resident.worst)
        assert found == pytest.approx(walk.tensors[k.dense.link.parent, "Z"].held), k.dense.link.parent


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "mapping"),
    [
        ((5, 7, 8), "mapping: [{L2: for m=3 k=3}, {L1: for m=2~1 k=3~2 n=7}, {L0: }]"),
        ((4, 7, 8), "mapping: [{L2: for k=8 m=2}, {L1: for n=4 m=2}, {L0: for n=2~1}]"),
    ],
)
def test_counts_under_imperfect_factors_are_those_of_the_walker(
    tmp_path: Path, shape: tuple[int, int, int], mapping: str, form: str
) -> None:
    m, n, k = shape
    text = HEAD.replace("m: 4, n: 6, k: 8", f"m: {m}, n: {n}, k: {k}") + mapping + SPARSE.replace("ZZ", form)
    rng = np.random.default_rng(FORMS.index(form))
    for name, model, walked in compared(tmp_path, text, rng.random((m, k)) < 0.3, rng.random((k, n)) < 0.3):
        assert model == pytest.approx(walked, rel=1e-9, abs=1e-9), name


def test_the_bitmap_of_a_window_by_hand(tmp_path: Path) -> None:
    """The second pass finds the middle one of three words, and the bit of it: the bitmap is there since the first word."""
    text = """
workload:
  einsum: Z[j+k] = A[k,j] * B[k]
  shape: {j: 2, k: 2}
  density: {A: a.npy, B: b.npy}
architecture: {levels: [{name: L0, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: for k=2 j=2}]
sparse: {L0: {formats: {Z: B(*)}}}
"""
    a, b = np.array([[1, 0], [0, 1]]), np.ones(2)  # words 0 and 2 of the result come to be
    rows = {name: model for name, model, _ in compared(tmp_path, text, a, b)}
    assert rows["0 reads of entries, rank 0 actual"] == 1
    assert rows["0 updates of entries, rank 0 actual"] == 4
    assert rows["0 reads actual"] == 0


def test_an_outer_product_by_hand(tmp_path: Path) -> None:
    """Three outer products of one word each, the first and the last into the same word: 3 updates, 1 of them finds it there."""
    text = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 2, n: 2, k: 3}
  density: {A: a.npy, B: b.npy}
architecture: {levels: [{name: L0, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: for k=3 m=2 n=2}]
sparse: {L0: {formats: {A: CP(*), B: CP(*), Z: CP(*)}, skip: [Z <- A B]}}
"""
    a, b = np.array([[1, 0, 1], [0, 1, 0]]), np.array([[0, 1], [1, 0], [0, 1]])
    rows = {name: model for name, model, _ in compared(tmp_path, text, a, b)}
    assert rows["0 updates actual"] == 3
    assert rows["0 reads actual"] == 1
    without = compared(tmp_path, text.replace(", skip: [Z <- A B]", ""), a, b)
    assert {name: model for name, model, _ in without}["0 reads actual"] == 3  # word 0,1 at k = 1 and 2, word 1,0 at k = 2


def test_lists_and_single_points_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same nest counted from lists and point by point."""
    text = HEAD + MAPPINGS["passes around passes"] + SPARSE.replace("ZZ", "UOP CP")
    lists = compared(tmp_path, text, *drawn(7))
    monkeypatch.setattr("sparseloop.model.sparsity.features.is_needed", lambda tiles, decisions: True)
    points = compared(tmp_path, text, *drawn(7))
    for (name, one, _), (_, other, _) in zip(lists, points, strict=True):
        assert one == pytest.approx(other, abs=1e-9), name


def test_a_batch_equals_its_mappings_one_by_one(tmp_path: Path) -> None:
    a, b = drawn(3)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    (tmp_path / "spec.yaml").write_text(HEAD + SPARSE.replace("ZZ", "CP CP"))
    spec = sl.load(tmp_path / "spec.yaml")
    best = sl.search(spec, method="random", budget=60, seed=3, minimize="energy")
    assert best.mapping is not None
    assert evaluate_mapping(design_of(spec), best.mapping).energy_pj == pytest.approx(best.top[0].values[0], rel=1e-12)


def test_offsets_of_a_result_that_stores_its_zeros_are_there_from_the_start(tmp_path: Path) -> None:
    """Two fibers of two words: the first one has zeros only, yet nothing waits for a word of it to come."""
    np.save(tmp_path / "a.npy", np.diag([0, 0, 1, 1]))
    (tmp_path / "spec.yaml").write_text("""
workload:
  einsum: "Z[i] = A[i,i]"
  shape: {i: 4}
  density: {A: a.npy, Z: produced}
architecture: {levels: [{name: L1, class: buffer, metadata: {word_bits: 8}}, {name: L0, class: buffer}, {name: MAC, class: mac}]}
mapping: [{target: L1, loops: [{rank: i, bound: 2}]}, {target: L0, loops: [{rank: i, bound: 2}], keep: []}]
sparse: {L1: {formats: {Z: {ranks: [{kind: UOP}], automatic: true}}}}
""")
    link = next(k for k in sl.evaluate(sl.load(tmp_path / "spec.yaml")).cost.sparse.links if k.dense.link.output)
    offsets = link.ranks[0].payloads["updates"]
    assert (float(offsets.total), float(offsets.actual)) == (3, 3)


def test_padding_adds_nothing_to_a_result(tmp_path: Path) -> None:
    """B has one word, met at k=1: the first visit leaves Z empty, the second one writes it and finds nothing to read."""
    np.save(tmp_path / "a.npy", np.ones(2))
    (tmp_path / "spec.yaml").write_text("""
workload: {einsum: "Z = A[k] * B[k-1]", shape: {k: 2}, extent: {B: [1]}, density: {A: a.npy, Z: produced}}
architecture: {levels: [{name: L0, class: buffer, metadata: {word_bits: 8}}, {name: MAC, class: mac}]}
mapping: [L0: for k=2]
sparse: {L0: {formats: {Z: CP}}}
""")
    link = next(k for k in sl.evaluate(sl.load(tmp_path / "spec.yaml")).cost.sparse.links if k.dense.link.output)
    assert (float(link.updates.actual), float(link.reads.actual)) == (1, 0)
