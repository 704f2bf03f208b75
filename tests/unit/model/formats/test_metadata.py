"""The three kinds of intersection unit on a dot product of two coordinate lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sparseloop as sl
from sparseloop.energy.pricing import ACTIONS
from sparseloop.model.density import Uniform
from sparseloop.model.design.arch import Arch, Level, Network, Price
from sparseloop.model.design.einsum import Axis, Einsum, Tensor, Term
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping
from sparseloop.model.design.sparse import RankFormat, Saf, Sparse, TensorFormat
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import Plan, compile_plan
from sparseloop.validation.walker import Walker

SIZE = 128


def plan_of(kind: str, a: float, b: float, feature: str = "skip") -> Plan:
    axis = (Axis(terms=(Term(rank="k"),)),)
    tensors = (
        Tensor(name="A", axes=axis, density=Uniform((SIZE,), a)),
        Tensor(name="B", axes=axis, density=Uniform((SIZE,), b)),
        Tensor(name="Z", axes=(), output=True, density=Uniform((), 1.0)),
    )
    einsum = Einsum(ranks=("k",), shape=(SIZE,), tensors=tensors)
    prices = {action: Price(energy_pj=1.0, source="test") for action in ACTIONS}
    network = Network(name="net", word_bits=8)
    buffer = Level(name="Buffer", kind="storage", prices=prices, network=network, metadata_word_bits=8)
    arch = Arch(levels=(buffer, Level(name="MAC", kind="compute", prices=prices)))
    nest = LoopNest(loops=(Loop(rank="k", level=0),), keep=(frozenset("ABZ"),))
    lists = TensorFormat(ranks=(RankFormat(kind="CP"),))
    safs = tuple(
        Saf(kind=feature, level=0, follower=f, leaders=(u,), intersection=kind)  # type: ignore[arg-type]
        for f, u in (("A", "B"), ("B", "A"))
    )
    return compile_plan(einsum, arch, nest, Sparse(formats={(0, "A"): lists, (0, "B"): lists}, safs=safs))


def walked(plan: Plan, draws: int) -> tuple[float, float]:
    """Mean coordinate reads of A and B by the walker."""
    rng = np.random.default_rng(5)
    walk = Walker(plan.einsum, (1,), Mapping(nest=plan.nest, bounds=(SIZE,)), plan.sparse)
    totals = np.zeros(2)
    for _ in range(draws):
        data = {"Z": np.ones((), bool)}
        for tensor in plan.einsum.tensors[:2]:
            data[tensor.name] = np.zeros(SIZE, bool)
            data[tensor.name][rng.choice(SIZE, round(tensor.density.density * SIZE), replace=False)] = True
        result = walk.walk(data)
        totals += [result.tensors[0, name].metadata_reads[0].metadata.actual for name in "AB"]
    return tuple(totals / draws)  # type: ignore[return-value]


@pytest.mark.parametrize(("kind", "tolerance"), [("two_finger", 1e-9), ("leader_follower", 0.04), ("skip_ahead", 0.04)])
@pytest.mark.parametrize(("a", "b"), [(0.25, 0.5), (0.125, 0.125), (0.75, 0.25)])
def test_coordinates_looked_at(kind: str, tolerance: float, a: float, b: float) -> None:
    """Both lists; the tolerance covers 200 draws (1.5 % of the mean at worst) and, when jumping, the fiber's two ends."""
    plan = plan_of(kind, a, b)
    cost = evaluate_plan(plan, (SIZE,))
    ours = [float(k.ranks[0].entries["reads"].actual) for k in cost.sparse.links[:2]]
    assert ours == pytest.approx(walked(plan, 200), rel=tolerance)
    expected = {
        "two_finger": (a, b),
        "leader_follower": (a * b, a * b),
        "skip_ahead": (a * b / (a + b - a * b), b * a / (a + b - a * b)),
    }[kind]
    assert ours == pytest.approx([SIZE * x for x in expected])


@pytest.mark.parametrize(("feature", "passed"), [("skip", "skipped"), ("gate", "gated")])
def test_coordinates_jumped_over_are_skipped_or_keep_their_time(feature: str, passed: str) -> None:
    """A has 64 coordinates and B 64: 64 * 0.5 / 0.75 are looked at, the rest are passed over as the feature says."""
    plan = plan_of("skip_ahead", 0.5, 0.5, feature)
    entries = evaluate_plan(plan, (SIZE,)).sparse.links[0].ranks[0].entries["reads"]
    assert float(entries.actual) == pytest.approx(128 / 3)
    assert float(getattr(entries, passed)) == pytest.approx(64 / 3)
    assert float(entries.absent) == pytest.approx(64)


@pytest.mark.parametrize(("capacity", "streamed"), [(4, 0), (3, 1), (1, 3)])
def test_a_dense_tile_larger_than_its_room_is_streamed_at_each_use(capacity: int, streamed: int) -> None:
    """Four words used twice: what does not fit is fetched again at the second use."""
    result = sl.evaluate(
        sl.loads(f"""
workload: {{einsum: "Z[i] = A[j]", shape: {{i: 2, j: 4}}}}
architecture:
  levels:
    - {{name: L1, class: buffer}}
    - {{name: L0, class: buffer, capacity: {capacity} words, capacity_rule: 0.5}}
    - {{name: MAC, class: mac}}
mapping:
  - {{target: L1, loops: []}}
  - {{target: L0, loops: [{{rank: i, bound: 2}}, {{rank: j, bound: 4}}], keep: [A]}}
""")
    )
    (link,) = (k for k in result.cost.sparse.links if k.dense.link.name == "A" and k.child is not None)
    assert (link.overflow.reads, link.overflow.fills) == (streamed, streamed)


def test_a_skip_that_comes_too_late_does_not_jump_with_a_gate_of_the_same_leader() -> None:
    """A is empty: the skip finds no word to write, but the bitmap was looked up before; the gate's unit jumps over all of it."""
    text = """
workload:
  einsum: "Z[p] = A[p]"
  shape: {p: 6}
  density: {A: 0, Z: dense}
architecture: {levels: [{name: L0, class: buffer, metadata: {word_bits: 8}}, {name: MAC, class: mac}]}
mapping: [{L0: for p=6}]
sparse:
  L0:
    formats: {A: B(*), Z: {ranks: [{kind: UB}, {kind: B}], automatic: true}}
    skip: [{follower: Z, leaders: [A], intersection: two_finger}]
    gate: [{follower: Z, leaders: [A], intersection: skip_ahead}]
"""
    link = next(k for k in sl.evaluate(sl.loads(text)).cost.sparse.links if k.dense.link.output)
    bits = link.ranks[0].entries["updates"]
    assert (float(bits.total), float(bits.gated), float(bits.skipped)) == (6, 6, 0)
    assert float(link.updates.skipped) == 6


@pytest.mark.parametrize("density", [1, 0.5])
def test_entries_that_go_with_shorter_last_tiles(density: float) -> None:
    """Three words in tiles of two and one: three bits, not four."""
    cost = sl.evaluate(
        sl.loads(f"""
workload: {{einsum: "Z = A[i]", shape: {{i: 3}}, density: {{A: {density}}}}}
architecture:
  levels: [{{name: L1, class: buffer}}, {{name: L0, class: buffer}}, {{name: PE, fanout: 2}}, {{name: MAC, class: mac}}]
mapping: [{{L1: }}, {{L0: for i=2}}, {{PE: x i=2~1}}]
sparse: {{L1: {{formats: {{A: UB}}}}}}
""")
    ).cost
    (link,) = (k for k in cost.sparse.links if k.dense.link.name == "A" and k.child is not None)
    assert float(link.ranks[0].entries["reads"].actual) == pytest.approx(3, abs=1e-12)


def test_bits_of_windows_that_go_with_deliveries() -> None:
    """I[p+r], 3 lanes along p, r one after the other: both steps bring 3 words with bits; 4 words have 5 offsets."""
    cost = sl.evaluate(
        sl.loads("""
workload: {einsum: "Z[p] = I[p+r]", shape: {p: 3, r: 2}, density: {I: 0.5}}
architecture:
  levels: [{name: L1, class: buffer}, {name: PE, fanout: 3}, {name: L0, class: buffer}, {name: MAC, class: mac}]
mapping: [{L1: for r=2}, {PE: x p=3}, {L0: }]
sparse: {L1: {formats: {I: UOP(*) B(*)}}}
""")
    ).cost
    (link,) = (k for k in cost.sparse.links if k.dense.link.name == "I" and k.child is not None)
    offsets, bits = link.ranks
    assert float(offsets.payloads["reads"].total) == pytest.approx(5, abs=1e-12)
    assert float(bits.entries["reads"].total) == pytest.approx(6, abs=1e-12)


def test_offsets_of_a_fiber_that_is_cut_short() -> None:
    """One fiber of three words that two loops of two go through: four offsets, not 3 (1 + 1/4)."""
    cost = sl.evaluate(
        sl.loads("""
workload: {einsum: "Z = A[p]", shape: {p: 3}, density: {A: 0.5}}
architecture: {levels: [{name: L0, class: buffer}, {name: L1, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: for p=2 p=2~1}, {L1: }]
sparse: {L0: {formats: {A: {ranks: [{kind: UOP, ranks: [[p]]}, {kind: CP, ranks: [[p]]}], automatic: true}}}}
""")
    ).cost
    (link,) = (k for k in cost.sparse.links if k.dense.link.name == "A" and k.child is not None)
    assert float(link.ranks[0].payloads["reads"].total) == pytest.approx(4, abs=1e-12)


def test_lanes_that_use_the_same_offsets_of_a_window_share_them() -> None:
    """Two lanes along p go through q together: the four offsets of q, and one more, are read once."""
    cost = sl.evaluate(
        sl.loads("""
workload: {einsum: "Z = I[p,q+s]", shape: {p: 2, q: 4, s: 1}}
architecture:
  levels: [{name: L0, class: buffer}, {name: F, fanout: 2}, {name: L1, class: buffer}, {name: MAC, class: mac}]
mapping: [{L0: for q=2}, {F: x p=2}, {L1: for q=2}]
sparse: {L0: {formats: {I: {ranks: [{kind: UOP}], automatic: true}}}}
""")
    ).cost
    (link,) = (k for k in cost.sparse.links if k.dense.link.name == "I" and k.child is not None)
    assert float(link.ranks[0].payloads["reads"].total) == pytest.approx(5, abs=1e-12)


def test_jumps_over_given_coordinates_are_counted_one_by_one(tmp_path: Path) -> None:
    """A has 0, 1, 3 and 4, B has 1 and 4: of A the unit passes 0 and 3 over, of B nothing."""
    np.save(tmp_path / "A.npy", np.array([1, 1, 0, 1, 1, 0]))
    np.save(tmp_path / "B.npy", np.array([0, 1, 0, 0, 1, 0]))
    (tmp_path / "design.yaml").write_text("""
workload:
  einsum: "Z = A[k] * B[k]"
  shape: {k: 6}
  density: {A: {model: actual, file: A.npy}, B: {model: actual, file: B.npy}}
architecture: {levels: [{name: L0, class: buffer}, {name: MAC, class: mac}]}
mapping: [{L0: for k=6}]
sparse:
  L0:
    formats: {A: CP, B: CP}
    skip: [{follower: A, leaders: [B], intersection: skip_ahead}, {follower: B, leaders: [A], intersection: skip_ahead}]
""")
    links = {k.dense.link.name: k for k in sl.evaluate(sl.load(tmp_path / "design.yaml")).cost.sparse.links}
    read = {name: links[name].ranks[0].entries["reads"] for name in "AB"}
    assert [(float(n.actual), float(n.skipped)) for n in read.values()] == [(2, 2), (2, 0)]
