"""Known patterns under imperfect factors, in windows, through blocks and with holes; numbers by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sparseloop as sl
from sparseloop.cli.app import app
from sparseloop.model.plan import compile_plan
from sparseloop.model.sparsity import known_patterns, large_patterns
from sparseloop.model.sparsity.large_patterns import TileInData, boxes
from sparseloop.model.sparsity.nest_points import Nest, copies, numbered

PRODUCT = """
workload:
  einsum: Z[m] = A[m,k] * B[k]
  shape: {m: 3, k: 2}
  density: {A: a.npy}
architecture:
  levels:
    - {name: L1, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
mapping:
  - L1: for m=2
  - L0: for m=2~1 k=2
sparse:
  L1: {formats: {A: B(*)}}
  L0: {formats: {A: B(*)}, skip: [B <- A]}
"""
WINDOW = """
workload:
  einsum: "Z[q] = W[s] * I[q+s]"
  shape: {q: 2, s: 2}
  density: {I: i.npy}
architecture:
  levels:
    - {name: DRAM, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
mapping:
  - DRAM:
  - L0: for q=2 s=2
sparse:
  DRAM: {formats: {I: B(*)}}
  L0: {formats: {I: B(*)}, skip: [W <- I]}
"""


def evaluated(folder: Path, text: str, **data: Any) -> dict[str, Any]:
    """The result of a specification and its data files, by level and tensor."""
    for name, values in data.items():
        np.save(folder / f"{name}.npy", np.array(values))
    (folder / "spec.yaml").write_text(text)
    return sl.evaluate(sl.load(folder / "spec.yaml")).to_dict()


def events(result: dict[str, Any], level: str, tensor: str, kind: str) -> float:
    """Actual events of a tensor at a level."""
    found = next(one for one in result["levels"] if one["name"] == level)
    return float(found["tensors"][tensor][kind]["actual"])


def test_a_mask_with_an_imperfect_factor(tmp_path: Path) -> None:
    """Rows 0 and 1 come first, then row 2 alone: four of the six words are not zero, each is fetched and used once."""
    result = evaluated(tmp_path, PRODUCT, a=[[1, 0], [1, 1], [0, 1]])
    assert events(result, "L1", "A", "reads") == 4
    assert events(result, "L0", "A", "reads") == 4
    assert events(result, "L0", "B", "reads") == 4
    assert result["totals"]["computes"]["actual"] == 4


def test_a_tile_that_stays_in_its_last_pass_only(tmp_path: Path) -> None:
    """The last pass of k has one index: there A[1,2] stays while n goes on, A[1,0] and A[1,1] are fetched for every n."""
    text = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 2, n: 3, k: 3}
  density: {A: a.npy}
architecture:
  levels:
    - {name: L2, class: buffer}
    - {name: L1, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
mapping:
  - L2: for m=2 k=2
  - L1: for n=3 k=2~1
  - L0:
sparse:
  L2: {formats: {A: CP(*)}}
  L1: {formats: {A: CP(*)}}
  L0: {formats: {A: CP(*)}}
"""
    result = evaluated(tmp_path, text, a=[[0, 0, 0], [1, 0, 1]])
    assert events(result, "L1", "A", "reads") == 3 + 1
    assert events(result, "L2", "A", "reads") == 2


@pytest.mark.parametrize(("pattern", "words"), [([0, 1, 0], 1), ([1, 0, 1], 2), ([1, 1, 1], 3), ([0, 0, 1], 1)])
def test_a_window_loaded_once_is_its_nonzeros(tmp_path: Path, pattern: list[int], words: int) -> None:
    """I[q+s] over two positions of two words: each of the three words is loaded once if it is not zero."""
    result = evaluated(tmp_path, WINDOW, i=pattern)
    assert events(result, "DRAM", "I", "reads") == words
    assert events(result, "L0", "I", "fills") == words


def test_a_window_that_slides(tmp_path: Path) -> None:
    """q outside: words 0 and 1 at first, word 2 one step later; W is read where the word used with it is not zero."""
    text = WINDOW.replace("DRAM:\n  - L0: for q=2 s=2", "DRAM: for q=2\n  - L0: for s=2")
    result = evaluated(tmp_path, text, i=[1, 0, 1])
    assert events(result, "DRAM", "I", "reads") == 2
    assert events(result, "L0", "I", "reads") == events(result, "L0", "W", "reads") == 2  # (q, s) = (0, 0) and (1, 1)


@pytest.mark.parametrize("size", [7, 14, 56])
def test_an_image_with_a_border_of_zeros_is_loaded_without_it(tmp_path: Path, size: int) -> None:
    """3x3 convolution of a padded image that is loaded once: the words of the image, none of the border."""
    text = f"""
workload:
  einsum: "O[p,q] = W[r,s] * I[p+r,q+s]"
  shape: {{p: {size}, q: {size}, r: 3, s: 3}}
  density: {{I: i.npy}}
architecture:
  levels:
    - {{name: DRAM, class: buffer}}
    - {{name: L0, class: buffer}}
    - {{name: MAC, class: mac}}
mapping:
  - DRAM:
  - L0: for p={size} q={size} r=3 s=3
sparse:
  DRAM: {{formats: {{I: CP(*)}}}}
"""
    image = np.zeros((size + 2, size + 2), dtype=bool)
    image[1:-1, 1:-1] = True
    assert events(evaluated(tmp_path, text, i=image), "DRAM", "I", "reads") == size**2


def test_channels_of_a_window_are_not_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words along c come and go alike: the same count as with every value of c, whose non-zeros are not spread evenly."""
    text = """
workload:
  einsum: "O[p] = W[c,r] * I[c,p+r]"
  shape: {c: 30, p: 6, r: 3}
  density: {I: i.npy}
architecture:
  levels:
    - {name: DRAM, class: buffer}
    - {name: GLB, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
mapping:
  - DRAM: for p=2 c=5
  - GLB: for r=3 c=6
  - L0: for p=3
sparse:
  DRAM: {formats: {I: CP(*)}}
  GLB: {formats: {I: CP(*)}}
"""
    image = np.random.default_rng(4).random((30, 8)) < np.linspace(0, 1, 30)[:, None]
    short = evaluated(tmp_path, text, i=image)
    monkeypatch.setattr("sparseloop.model.sparsity.known_events.MOST_WORDS", 0)
    whole = evaluated(tmp_path, text, i=image)
    for level in ("DRAM", "GLB"):
        assert events(short, level, "I", "reads") == pytest.approx(events(whole, level, "I", "reads"), rel=1e-12)
    assert events(short, "DRAM", "I", "reads") == image[:, :5].sum() + image[:, 3:].sum()


def test_what_a_tile_with_holes_holds(tmp_path: Path) -> None:
    """I[2*p] uses words 0, 2, 4 and 6; those between are no part of its tiles."""
    text = """
workload:
  einsum: "Z[p] = I[2*p]"
  shape: {p: 4}
  density: {I: i.npy}
architecture:
  levels:
    - {name: L1, class: buffer}
    - {name: L0, class: buffer, capacity: 64}
    - {name: MAC, class: mac}
mapping:
  - L1: for p=2
  - L0: for p=2
sparse:
  L1: {formats: {I: CP(*)}}
  L0: {formats: {I: CP(*)}}
"""
    evaluated(tmp_path, text, i=[1, 1, 1, 1, 0, 1, 0])
    links = sl.evaluate(sl.load(tmp_path / "spec.yaml")).cost.sparse.links
    held = next(k.resident for k in links if k.dense.link.name == "I" and k.dense.link.parent == 1)
    assert (held.occupancy, held.worst) == (1.0, 2.0)


def test_why_of_a_mask_with_an_imperfect_factor(tmp_path: Path) -> None:
    evaluated(tmp_path, PRODUCT, a=[[1, 0], [1, 1], [0, 1]])
    said = CliRunner().invoke(app, ["why", str(tmp_path / "spec.yaml"), "computes.actual"])
    assert said.exit_code == 0, said.output
    assert "computes.actual = 4" in said.output


def test_a_search_with_imperfect_factors(tmp_path: Path) -> None:
    evaluated(tmp_path, PRODUCT, a=[[1, 0], [1, 1], [0, 1]])
    said = CliRunner().invoke(app, ["map", str(tmp_path / "spec.yaml"), "--padded", "--budget", "1"])
    assert said.exit_code == 0, said.output


def test_large_patterns_with_imperfect_factors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of non-zeros say the same as points one by one."""
    rng = np.random.default_rng(3)
    a, b = rng.random((11, 13)) < 0.2, rng.random((13, 7)) < 0.3
    text = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 11, n: 7, k: 13}
  density: {A: a.npy, B: b.npy}
architecture:
  levels:
    - {name: L1, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
mapping:
  - L1: for m=4~3 k=3 n=2
  - L0: for n=4~3 m=3~3 k=5~3
sparse:
  L1: {formats: {A: CP(*), B: CP(*)}, skip: [B <- A]}
  L0: {formats: {A: CP(*), B: CP(*)}, skip: [B <- A, A <- B, Z <- A B]}
"""
    text = text.replace("m=4~3", "m=4~4").replace("m=3~3", "m=3~2")
    exact = evaluated(tmp_path, text, a=a, b=b)
    monkeypatch.setattr("sparseloop.model.sparsity.nest_points.MOST_POINTS", 0)
    listed = evaluated(tmp_path, text, a=a, b=b)
    products = int((a.astype(int) @ b.astype(int)).sum())
    assert exact["totals"]["computes"]["actual"] == products
    assert listed["totals"]["computes"]["actual"] == pytest.approx(products, rel=1e-12)
    assert events(listed, "L0", "B", "reads") == pytest.approx(events(exact, "L0", "B", "reads"), rel=1e-12)


def test_boxes_of_a_rank_hold_each_of_its_values_once() -> None:
    spec = sl.loads(PRODUCT.replace("density: {A: a.npy}", "density: {A: 0.5}"))
    design = sl.design_of(spec)
    assert design.mapping is not None
    plan = compile_plan(design.einsum, design.arch, design.mapping.nest, design.sparse)
    nest = Nest(plan, design.mapping.bounds, design.mapping.residuals or design.mapping.bounds)
    outer, inner = reversed(plan.of_rank["m"])
    values = [2 * i + j for box in boxes(nest, ["m"]) for i in box[outer] for j in box[inner]]
    assert sorted(values) == [0, 1, 2]


def test_stays_break_where_a_key_is_not_used() -> None:
    visit, instance = np.array([0, 1, 2, 3]), np.array([0, 0, 0, 1])
    stays = copies(visit, instance, np.array([5, 5, 5, 5]), reuse=True)
    assert (stays.begin.tolist(), stays.end.tolist()) == ([0, 3], [2, 3])
    apart = copies(visit, instance, np.array([5, 6, 5, 5]), reuse=True)
    assert len(apart.begin) == 4


def test_equal_rows_have_one_number() -> None:
    assert numbered(np.array([3, 1, 3, 1]), np.array([0, 2, 0, 1])).tolist() == [2, 1, 2, 0]


def test_mappings_that_cut_alike_ask_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred mappings of an 8x8 matrix have few different tiles."""
    counted: list[object] = []
    found = known_patterns._found_mean  # pyright: ignore[reportPrivateUsage]

    def counting(nest: Nest, asked: tuple[TileInData, ...], first: tuple[int, ...]) -> float:
        counted.append(asked)
        return found(nest, asked, first)

    monkeypatch.setattr(known_patterns, "_found_mean", counting)
    text = """
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 8, n: 4, k: 8}
  density: {A: a.npy}
architecture:
  levels:
    - {name: L1, class: buffer}
    - {name: L0, class: buffer}
    - {name: MAC, class: mac}
mapping:
  - L1: for m=4 k=4
  - L0: for n=4 m=2 k=2
sparse:
  L1: {formats: {A: CP(*)}, skip: [B <- A]}
  L0: {formats: {A: CP(*)}, skip: [B <- A]}
"""
    a = np.random.default_rng(5).random((8, 8)) < 0.3
    first = evaluated(tmp_path, text, a=a)
    blocks = a.reshape(4, 2, 4, 2).any(axis=(1, 3)).sum()
    assert events(first, "L1", "B", "reads") == pytest.approx(blocks * 8)
    assert first["totals"]["computes"]["actual"] == pytest.approx(a.sum() * 4)
    counted.clear()
    start, end = text.index("mapping:"), text.index("sparse:")
    free = sl.loads((text[:start] + text[end:]).replace("a.npy", str(tmp_path / "a.npy")))
    sl.search(free, method="random", budget=300, seed=1)
    assert len(counted) <= 10  # of more than a thousand questions


def test_bits_of_given_data_are_only_where_a_row_has_a_word(tmp_path: Path) -> None:
    """Of row 1 of A (the rows begin at 0, the columns end after one), m=0 is zero: two bits of m, one of n below m=1."""
    text = """
workload:
  einsum: "Z = A[k+1,m,n]"
  shape: {k: 1, m: 2, n: 2}
  extent: {A: {k: 2, n: 1}}
  density: {A: a.npy, Z: dense}
architecture: {levels: [{name: L0, class: buffer, metadata: {word_bits: 8}}, {name: MAC, class: mac}]}
mapping: [L0: for m=2 n=2]
sparse: {L0: {formats: {A: B B}}}
"""
    np.save(tmp_path / "a.npy", np.array([[[1], [1]], [[0], [1]]]))
    (tmp_path / "spec.yaml").write_text(text)
    link = next(k for k in sl.evaluate(sl.load(tmp_path / "spec.yaml")).cost.sparse.links if k.dense.link.name == "A")
    assert [float(rank.entries["reads"].actual) for rank in link.ranks] == [2, 1]
    assert float(link.resident.occupancy) == 1


def test_an_empty_operand_makes_an_empty_result_in_padding() -> None:
    """Z has no word at q=1, and none that is not zero elsewhere: nothing is written."""
    text = """
workload: {einsum: "Z[p,q] = I[p]", shape: {p: 2, q: 2}, extent: {Z: {q: 1}}, density: {I: 0}}
architecture: {levels: [{name: L0, class: buffer}, {name: MAC, class: mac}]}
mapping: [L0: for p=2 q=2]
sparse: {L0: {formats: {Z: B B}}}
"""
    (made,) = (k for k in sl.evaluate(sl.loads(text)).cost.sparse.links if k.dense.link.output)
    assert (float(made.updates.total), float(made.updates.actual)) == (2, 0)


def test_lists_serve_mappings_of_other_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that one mapping left is read with the bounds it was made with, whatever the next mapping's are."""
    pattern = np.random.default_rng(2).random((16, 16)) < 0.3
    pattern[5:] = pattern[:, 3:9] = False
    np.save(tmp_path / "a.npy", pattern)
    (tmp_path / "spec.yaml").write_text("""
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 16, n: 4, k: 16}, density: {A: a.npy}}
architecture:
  levels:
    - {name: L2, class: dram}
    - {name: L1, class: sram}
    - {name: L0, class: sram}
    - {name: MAC, class: mac}
sparse:
  L2: {formats: {A: UOP(m) CP(k)}, skip: [B <- A]}
  L1: {formats: {A: UOP(m) CP(k)}, skip: [B <- A, Z <- A]}
""")
    energy: list[list[float]] = []
    for large in (large_patterns.LARGE, 0):
        monkeypatch.setattr(large_patterns, "LARGE", large)
        space = sl.mapspace(sl.load(str(tmp_path / "spec.yaml")))
        batch = space.sample(150, seed=1)
        energy.append([float(e) for e in space.columns(batch, ("energy_pj",))["energy_pj"]])
    assert energy[1] == pytest.approx(energy[0], rel=1e-12)
