"""Cycles of lanes packed in waves against counting them on every matrix there can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import ceil, comb
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparseloop as sl

Mask = npt.NDArray[np.int64]

SPEC = """\
workload:
  einsum: Z[m,n] = A[m,k] * B[n,k]
  shape: {{m: {m}, n: {n}, k: {k}}}
  density: {{A: {a}, B: {b}}}
architecture:
  levels:
    - {{name: DRAM, class: dram}}
    - {{name: buffer, class: regfile}}
    - {{name: lanes, fanout: {{x: {x}, y: {y}}}, packing: {packing}}}
    - {{name: MAC, class: mac}}
sparse:
  DRAM: {{formats: {{A: B(*;1), B: B(*;1)}}}}
  buffer: {{formats: {{A: B(*;1), B: B(*;1)}}, spatial_skip: [{skips}]}}
mapping:
  - DRAM: for k={k}
  - buffer: ""
  - lanes: x n={n}, y m={m}
"""


def cycles(**fields: object) -> float:
    return sl.evaluate(sl.loads(SPEC.format(**fields))).to_dict()["levels"][-1]["cycles"]


def masks(rows: int, columns: int, nonzeros: int) -> Iterator[Mask]:
    for places in combinations(range(rows * columns), nonzeros):
        mask = np.zeros(rows * columns, np.int64)
        mask[list(places)] = 1
        yield mask.reshape(rows, columns)


def mean_waves(one: Sequence[Mask], other: Sequence[Mask], width: int) -> float:
    """Expected waves of all columns: positions are the pairs of non-zeros of a column of each, all of them one pool."""
    return float(np.mean([np.ceil(a.sum(0) * b.sum(0) / width).sum() for a in one for b in other]))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_waves_are_those_counted_on_all_matrices(data: st.DataObject) -> None:
    m, n, k = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 2)))
    a, b = data.draw(st.integers(0, m * k)), data.draw(st.integers(0, n * k))
    x, y = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    skips = "A <- A, B <- B"
    ours = cycles(m=m, n=n, k=k, a=a / (m * k), b=b / (n * k), x=x, y=y, packing="waves", skips=skips)
    truth = mean_waves(list(masks(m, k, a)), list(masks(n, k, b)), x * y)
    assert ours == pytest.approx(truth, rel=1e-9, abs=1e-12)
    balanced = cycles(m=m, n=n, k=k, a=a / (m * k), b=b / (n * k), x=x, y=y, packing="balanced", skips=skips)
    assert ours >= balanced * (1 - 1e-9)


@pytest.mark.parametrize("packing", ["balanced", "waves"])
def test_one_side_only(packing: str) -> None:
    """Lanes of the other axis stay as they are; 3 of 6 positions on 2 lanes are 2 waves or 1.5 steps."""
    found = cycles(m=6, n=2, k=1, a=0.5, b=1, x=2, y=2, packing=packing, skips="A <- A")
    assert found == pytest.approx(ceil(3 / 2) if packing == "waves" else 1.5)


def test_structured_weights_fill_their_waves() -> None:
    spec = SPEC.format(m=8, n=2, k=1, a="2:4 m", b=1, x=2, y=4, packing="waves", skips="A <- A")
    assert sl.evaluate(sl.loads(spec)).to_dict()["levels"][-1]["cycles"] == pytest.approx(1)


def test_a_batch_gives_the_same() -> None:
    fields = {"m": 12, "n": 6, "k": 4, "a": 0.4, "b": 0.5, "x": 2, "y": 3, "packing": "waves", "skips": "A <- A, B <- B"}
    spec = sl.loads(SPEC.format(**fields).partition("mapping:")[0])
    found = sl.mapspace(spec).sample(200, seed=1)
    columns = sl.evaluate(spec, found)
    for i in range(0, len(found), 20):
        assert columns["cycles"][i] == pytest.approx(sl.evaluate(spec, found[i]).cycles, rel=1e-12)


def test_an_optimal_mapping_is_the_best_of_all() -> None:
    fields = {"m": 4, "n": 3, "k": 2, "a": 0.4, "b": 0.5, "x": 2, "y": 3, "packing": "waves", "skips": "A <- A, B <- B"}
    space = sl.mapspace(sl.loads(SPEC.format(**fields).partition("mapping:")[0]))
    best = sl.search(space, minimize="cycles", method="optimal")
    other = sl.search(space, minimize="cycles", method="exhaustive")
    assert best.value == pytest.approx(other.value)


@pytest.mark.parametrize("written", ["wave", "3"])
def test_unknown_packing(written: str) -> None:
    with pytest.raises(sl.SpecError, match="expected 'balanced' or 'waves'") as raised:
        sl.loads(SPEC.format(m=1, n=1, k=1, a=1, b=1, x=1, y=1, packing=written, skips="A <- A"))
    (one,) = raised.value.diagnostics
    assert one.path == ("architecture", "levels", 2, "packing")


SKIPS = ["A <- A", "A <- A, B <- B", "B <- A", "B <- A, Z <- A", "Z <- A & B", "A <- B"]


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_waves_never_save_time_whatever_the_mapping(data: st.DataObject) -> None:
    m, n, k = (data.draw(st.sampled_from([2, 4, 6])) for _ in range(3))
    densities = (0.1, 0.5, 1, *(["2:4 k"] if k == 4 else []))
    a, b = data.draw(st.sampled_from(densities)), data.draw(st.sampled_from(densities))
    fields = {"m": m, "n": n, "k": k, "a": a, "b": b, "skips": data.draw(st.sampled_from(SKIPS)), "x": 2, "y": 3}
    texts = [SPEC.format(**fields, packing=packing).partition("mapping:")[0] for packing in ("waves", "balanced")]
    waves, balanced = (sl.loads(text.replace("B[n,k]", "B[k,n]")) for text in texts)
    found = sl.mapspace(waves).sample(50, seed=0)
    slow, fast = (sl.evaluate(spec, found)["cycles"] for spec in (waves, balanced))
    assert np.isfinite(slow).all()
    assert (slow >= fast * (1 - 1e-9)).all()


def test_instances_used_are_those_that_take_turns() -> None:
    """However few positions are active: which ones changes from draw to draw."""
    spec = SPEC.format(m=1, n=1, k=8, a=0.125, b=0.125, x=4, y=1, packing="balanced", skips="Z <- A & B")
    spec = spec.replace("x n=1, y m=1", "x k=8").replace("for k=8", "").replace('buffer: ""', "buffer: for m=1")
    level = sl.evaluate(sl.loads(spec)).to_dict()["levels"][-1]
    assert level["instances_used"] == 4


STEPS = """\
workload:
  einsum: Z[m] = A[m,k] * B[m,k]
  shape: {{m: 8, k: 16}}
  density: {{A: {a}, B: {b}}}
architecture:
  levels:
    - {{name: buffer, class: regfile, bandwidth: 4 words/cycle}}
    - {{name: lanes, fanout: {{x: {x}}}, packing: {packing}}}
    - {{name: MAC, class: mac}}
sparse:
  buffer: {{formats: {{A: B(*;1), B: B(*;1)}}, spatial_skip: [A <- A, B <- B]}}
mapping:
  - buffer: for k=16
  - lanes: x m=8
"""


@pytest.mark.parametrize("a", ["0.5", '"4:8 m"', '"2:4 m"', '"1:2 m"', "{model: even, density: 0.5}"])
def test_regular_data_is_no_slower_than_random_data(a: str) -> None:
    """64 live computes in 16 steps on 8 lanes: at least a cycle a step in waves, 8 cycles if they even out, however they lie."""
    found = {p: cycles_of(STEPS.format(a=a, b=1, x=8, packing=p)) for p in ("waves", "balanced")}
    assert found["balanced"] == pytest.approx(8)
    assert found["waves"] == pytest.approx(16, abs=0.06)
    assert found["waves"] <= 16 + 1e-9


def test_two_leaders_take_a_step_wherever_anything_is_active() -> None:
    """A[4,8], B[8,4] of 16 non-zeros each, k on 8 lanes: 16 steps without those of which no product is left."""
    none = sum(
        comb(8, a) * comb(24, 16 - a) * comb(8 - a, b) * comb(24, 16 - b) for a in range(9) for b in range(9 - a)
    ) / comb(32, 16) ** 2  # fmt: skip
    spec = SPEC.format(m=4, n=4, k=8, a=0.5, b=0.5, x=8, y=1, packing="waves", skips="A <- A, B <- B")
    spec = spec.replace("DRAM: for k=8", "DRAM: for m=4 n=4").replace("x n=4, y m=4", "x k=8")
    assert cycles_of(spec) == pytest.approx(16 * (1 - none))
    assert cycles_of(spec) == pytest.approx(14.72, abs=0.01)


def test_several_words_per_position_are_a_position() -> None:
    """Every matrix of 4 positions with 2 words each: a position is active if one of its words is there."""
    truth = float(np.mean([np.ceil((mask.reshape(4, 2).sum(1) > 0).sum() / 2) for mask in masks(8, 1, 3)]))
    spec = STEPS.format(a=3 / 8, b=1, x=2, packing="waves").replace("m: 8, k: 16", "m: 4, k: 2").replace("x m=8", "x m=4")
    spec = spec.replace("- {name: MAC", "- {name: words, class: regfile}\n    - {name: MAC")
    spec = spec.replace("buffer: for k=16", 'buffer: ""') + "  - words: for k=2\n"
    assert cycles_of(spec.replace("spatial_skip: [A <- A, B <- B]", "spatial_skip: [A <- A]")) == pytest.approx(2 * truth)


@pytest.mark.parametrize("packing", ["balanced", "waves"])
def test_an_empty_leader_takes_no_time_and_breaks_nothing(packing: str) -> None:
    result = sl.evaluate(sl.loads(STEPS.format(a=0, b=1, x=4, packing=packing)))
    assert result.valid
    assert result.cost.levels[-1].cycles == 0
    assert np.isfinite([result.cycles, result.energy_pj]).all()
    assert result.cost.levels[-1].instances_used == 4


def test_two_fanouts_are_packed_one_after_the_other() -> None:
    """Rows of lanes go to the non-zeros of A, the lanes of each row to those of B: the waves multiply, pair by pair."""
    a, b = list(masks(5, 2, 6)), list(masks(4, 2, 5))
    rows, lanes = (np.mean([np.ceil(mask.sum(0) / 2) for mask in every], axis=0) for every in (a, b))
    spec = SPEC.format(m=5, n=4, k=2, a=0.6, b=0.625, x=2, y=2, packing="waves", skips="A <- A")
    two = "{name: rows, fanout: {y: 2}}\n    - {name: row, class: regfile}\n    - {name: lanes, fanout: {x: 2}}"
    spec = spec.replace("{name: lanes, fanout: {x: 2, y: 2}, packing: waves}", two)
    spec = spec.replace("mapping:", "  row: {spatial_skip: [B <- B]}\nmapping:")
    spec = spec.replace("- lanes: x n=4, y m=5", '- rows: y m=5\n  - row: "| bypass A B Z"\n  - lanes: x n=4')
    assert cycles_of(spec) == pytest.approx(float(rows @ lanes))


@pytest.mark.parametrize("packing", ["balanced", "waves"])
@pytest.mark.parametrize("skips", ["Z <- A & B", "Z <- A", "B <- A, Z <- A"])
def test_no_slower_than_without_the_feature(packing: str, skips: str) -> None:
    """Three positions fit on four instances, whatever is dropped of them."""
    fields = {"m": 4, "n": 4, "k": 24, "a": 0.5, "b": 0.1, "x": 4, "y": 1, "packing": packing, "skips": skips}
    spec = (
        SPEC.format(**fields).partition("mapping:")[0]
        + "mapping:\n  - DRAM: for k=8 n=2\n  - buffer: for n=2 m=4\n  - lanes: x k=3\n"
    )
    assert cycles_of(spec) <= cycles_of(spec, "sparse={}") * (1 + 1e-9)


def cycles_of(spec: str, *overrides: str) -> float:
    return sl.evaluate(sl.loads(spec, overrides=list(overrides))).to_dict()["levels"][-1]["cycles"]


def test_a_known_leader_without_any_loop(tmp_path: Path) -> None:
    """One position, one word, which is zero: nothing is left, and nothing takes time."""
    (tmp_path / "B.txt").write_text("0\n")
    text = """
workload: {einsum: "Z = B[i]", shape: {i: 1}, density: {B: B.txt}}
architecture:
  levels:
    - {name: L0, class: buffer}
    - {name: F0, fanout: {x: 1, y: 1}, packing: waves}
    - {name: MAC, class: mac}
mapping: [{target: L0, loops: []}]
sparse: {L0: {formats: {B: B(*)}, spatial_skip: [B <- B]}}
"""
    (tmp_path / "spec.yaml").write_text(text)
    result = sl.evaluate(sl.load(tmp_path / "spec.yaml"))
    assert result.cost.sparse.computes.actual == 0
    assert result.cost.sparse.time == 0


@pytest.mark.parametrize(("loop", "m", "waves"), [("m=3", 3, 2), ("m=4~3", 3, 2), ("m=3~1", 1, 1)])
def test_positions_that_never_come_take_no_wave(loop: str, m: int, waves: int) -> None:
    """Of 4 positions on 2 lanes 3 ever come, of 3 one; their skip drops none of them."""
    text = SPEC.format(m=m, n=1, k=1, a=1, b=1, x=1, y=2, packing="waves", skips="A <- A")
    assert sl.evaluate(sl.loads(text.replace(f"y m={m}", f"y {loop}"))).to_dict()["levels"][-1]["cycles"] == waves


LEFT_OUT = """\
workload:
  einsum: Z[m,p] = W[m] * I[p]
  shape: {{m: 2, p: 1}}
architecture:
  levels:
    - {{name: buffer, class: regfile}}
    - {{name: lanes, fanout: {{x: 2, y: 1}}, packing: {packing}}}
    - {{name: MAC, class: mac}}
sparse: {{buffer: {{formats: {{W: B}}, spatial_skip: [Z <- W]}}}}
mapping: [buffer: "", lanes: "x m=2 p=3~1"]
"""


@pytest.mark.parametrize("packing", ["waves", "balanced"])
def test_positions_that_imperfect_factors_leave_out_take_no_time(packing: str) -> None:
    """Two of six positions exist, and two lanes."""
    assert sl.evaluate(sl.loads(LEFT_OUT.format(packing=packing))).cycles == 1


NESTED = """\
workload:
  einsum: Z[m] = I[c] * W[m,c]
  shape: {m: 2, c: 2}
  density: {W: {model: uniform, density: 0.25}}
architecture:
  levels:
    - {name: L0, class: buffer}
    - {name: F0, fanout: 1, packing: waves}
    - {name: L1, class: buffer}
    - {name: F1, fanout: 1, packing: waves}
    - {name: L2, class: buffer}
    - {name: MAC, class: mac}
mapping: [L0: "", L1: for c=2, L2: for m=2]
sparse:
  L0: {formats: {I: B, W: B B}, spatial_skip: [I <- I]}
  L1: {formats: {I: B, W: B B}, spatial_skip: [I <- I]}
  L2: {formats: {I: B, W: B B}, skip: [W <- W]}
"""


def test_a_step_of_inner_waves_lasts_as_long_as_what_is_left_of_it() -> None:
    """Two steps of one wave each. Of its two computes each is left with 1/4, taken as independent: 1 + 1/16 cycles a step."""
    assert sl.evaluate(sl.loads(NESTED)).to_dict()["levels"][-1]["cycles"] == pytest.approx(2.125)
