"""Every shipped design: all commands of its page run and are valid, and one characteristic fact of each holds.

Run with -s for the table of docs/designs.md.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

import sparseloop
from sparseloop import Result
from sparseloop import designs as examples

DESIGNS = examples.FOLDER
FOLDERS = sorted(folder.name for folder in DESIGNS.iterdir() if (folder / "README.md").is_file())
Command = tuple[tuple[str, ...], tuple[str, ...]]


def commands(design: str) -> list[Command]:
    """Files and overrides of every command on the page of a design."""
    found: list[Command] = []
    for line in (DESIGNS / design / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("    sparseloop eval "):
            words = shlex.split(line)[2:]
            overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            found.append((tuple(word for word in words if word.endswith(".yaml")), tuple(overrides)))
    return found


@cache
def run(design: str, files: str, **densities: float) -> Result:
    """Evaluates files of a design, named without their ending, with densities changed."""
    overrides = tuple(f"workload.density.{tensor}={value}" for tensor, value in densities.items())
    return evaluate(design, tuple(f"{name}.yaml" for name in files.split()), overrides)


def evaluate(design: str, files: tuple[str, ...], overrides: tuple[str, ...]) -> Result:
    return sparseloop.evaluate(sparseloop.load(*(DESIGNS / design / name for name in files), overrides=list(overrides)))


def actual(result: Result, level: str, tensor: str, action: str = "reads") -> float:
    """Words really moved at a level."""
    record = next(one for one in result.to_dict()["levels"] if one["name"] == level)
    return record["tensors"][tensor][action]["actual"]


def level_cycles(result: Result, level: str) -> float:
    return next(one["cycles"] for one in result.to_dict()["levels"] if one["name"] == level)


def computes(result: Result) -> dict[str, float]:
    return result.to_dict()["totals"]["computes"]


# --- every page -----------------------------------------------------------------------------------------------


def label(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)


ALL = [(design, files, overrides) for design in FOLDERS for files, overrides in commands(design)]


@pytest.mark.parametrize(("design", "files", "overrides"), ALL, ids=label)
def test_command_of_the_page(design: str, files: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    result = evaluate(design, files, overrides)
    assert result.valid, result.reasons
    assert result.energy_pj > 0
    assert 0 < result.utilization <= 1 + 1e-9


@pytest.mark.parametrize("design", FOLDERS)
def test_page(design: str) -> None:
    """There is one, `sparseloop example` lists it, and it names a source and what the design shows."""
    known = examples.designs()
    assert known[design] == DESIGNS / design
    assert examples.title(known[design])
    page = examples.text_of(known[design])
    for heading in ("## What it shows", "## Sources", "## What it leaves out"):
        assert heading in page
    assert commands(design)


@pytest.mark.parametrize("design", [name for name in FOLDERS if name != "eyeriss_v1"])
def test_every_file_is_used(design: str) -> None:
    used = {name for files, _ in commands(design) for name in files}
    assert used | {"dataflow.yaml"} >= {file.name for file in (DESIGNS / design).glob("*.yaml")} >= used  # it is for networks


@pytest.mark.parametrize("design", FOLDERS)
def test_in_the_index(design: str) -> None:
    index = Path(__file__).parents[2] / "docs" / "designs.md"
    assert f"`{design}`" in index.read_text(encoding="utf-8")


# --- Eyeriss v2 -----------------------------------------------------------------------------------------------


EYERISS_V2 = {
    "L07": (1592245, 1702140),
    "L09": (1479114, 1499682),
    "L13": (1114139, 1144158),
    "L19": (1407304, 1457458),
    "L21": (1610668, 1677684),
    "L23": (1791135, 1821557),
    "L25": (927185, 948572),
    "L27": (729915, 775316),
}
"""Cycles: Sparseloop with uniform densities, and the simulator of the chip's authors."""


@pytest.mark.parametrize("layer", EYERISS_V2)
def test_eyeriss_v2_pe(layer: str) -> None:
    sparse, dense = run("eyeriss_v2_pe", f"architecture sparse {layer}"), run("eyeriss_v2_pe", f"architecture dense {layer}")
    published, truth = EYERISS_V2[layer]
    assert sparse.cycles == pytest.approx(published, rel=1e-5)
    assert 0.93 < sparse.cycles / truth < 1
    assert dense.cycles == computes(dense)["total"] == computes(sparse)["total"]
    assert sparse.energy_pj < dense.energy_pj


# --- Fig. 1 of MICRO'22 ---------------------------------------------------------------------------------------


def formats(density: float) -> tuple[Result, Result]:
    """Bitmask with gating, coordinate list with skipping."""
    both = {"A": density, "B": density}
    bitmask = run("fig1_formats", "architecture bitmask matmul", **both)
    return bitmask, run("fig1_formats", "architecture coordinate_list matmul", **both)


def test_fig1_formats_cross_over() -> None:
    for density in (0.01, 0.1, 0.4, 0.8):
        bitmask, _ = formats(density)
        assert bitmask.cycles == 128**3
    for density, cheaper, faster in ((0.01, True, True), (0.2, False, True), (0.75, False, True), (0.8, False, False)):
        bitmask, listed = formats(density)
        assert (listed.energy_pj < bitmask.energy_pj) is cheaper
        assert (listed.cycles < bitmask.cycles) is faster
    assert formats(0.13)[1].energy_pj < formats(0.13)[0].energy_pj  # with 7-bit comparisons priced by their width: 0.136
    assert formats(0.14)[1].energy_pj > formats(0.14)[0].energy_pj


# --- dense arrays ---------------------------------------------------------------------------------------------


def test_tpu_shares_activations_along_a_row() -> None:
    gemm, separate = run("tpu", "architecture gemm"), run("tpu", "architecture gemm_separate")
    assert gemm.cycles == 2048**3 / 256**2
    assert actual(gemm, "unified_buffer", "A") == 2048**3 / 256
    assert actual(separate, "unified_buffer", "A") == 256 * actual(gemm, "unified_buffer", "A")
    assert separate.cycles == 256 * gemm.cycles


def test_tpu_forwarding() -> None:
    """Of the 28 steps of a column the first brings three rows, the others one of three."""
    off = ("architecture.levels.accumulators.network.forwarding=false",)
    with_it = evaluate("tpu", ("architecture.yaml", "conv.yaml"), ())
    without = evaluate("tpu", ("architecture.yaml", "conv.yaml"), off)
    ratio = actual(with_it, "unified_buffer", "A") / actual(without, "unified_buffer", "A")
    assert ratio == pytest.approx((1 + 27 / 3) / 28)
    assert with_it.energy_pj < without.energy_pj


def test_nvdla() -> None:
    dense, compressed = run("nvdla", "architecture dense conv"), run("nvdla", "architecture compressed conv")
    assert dense.cycles == compressed.cycles == computes(dense)["total"] / 2048
    assert computes(compressed)["actual"] == computes(dense)["actual"]
    assert actual(compressed, "DRAM", "W") == pytest.approx(0.35 * actual(dense, "DRAM", "W"), rel=1e-5)
    assert run("nvdla", "architecture dense first_layer").utilization == pytest.approx(3 / 64)


# --- sparse tensor cores --------------------------------------------------------------------------------------


def test_sparse_tensor_core_is_twice_as_fast() -> None:
    dense, sparse = run("nvidia_stc", "architecture dense wd_1.00"), run("nvidia_stc", "architecture sparse wd_0.50")
    assert dense.cycles == 147456
    assert sparse.cycles == pytest.approx(dense.cycles / 2, rel=1e-12)
    assert sparse.utilization == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("features", "weights", "published"),
    [
        ("sparse", "wd_0.50", 73728),
        ("sparse", "wd_0.33", 70218),
        ("sparse", "wd_0.25", 66707),
        ("dual", "wd_0.50", 73728),
        ("dual", "wd_0.33", 49153),
        ("dual", "wd_0.25", 42271),
    ],
)
def test_variants_of_the_sparse_tensor_core(features: str, weights: str, published: int) -> None:
    """Sparseloop's cycles for this layer (MICRO'22, Fig. 15), which it rounds up."""
    result = run("nvidia_stc", f"architecture {features} {weights}")
    assert result.cycles == pytest.approx(published, abs=1)
    ideal = 147456 * float(weights.removeprefix("wd_").replace("0.33", "0.3333333333"))
    assert level_cycles(result, "MAC") == pytest.approx(ideal, rel=1e-6)


@pytest.mark.parametrize(("a", "b"), [(0.9, 1.0), (0.5, 0.4), (0.3, 0.4)])
def test_dstc_packs_both_sides(a: float, b: float) -> None:
    """Never faster than the product of the densities: lanes are taken in waves (tests/property/test_packing.py counts them)."""
    sparse, dense = run("dstc", "architecture sparse matmul", A=a, B=b), run("dstc", "architecture dense matmul_dense")
    ratio = sparse.cycles / dense.cycles
    balanced = evaluate(
        "dstc",
        ("architecture.yaml", "sparse.yaml", "matmul.yaml"),
        (
            "architecture.levels.rows.packing=balanced",
            "architecture.levels.lanes.packing=balanced",
            f"workload.density.A={a}",
            f"workload.density.B={b}",
        ),
    )
    assert balanced.cycles / dense.cycles == pytest.approx(a * b, rel=1e-5)
    assert a * b < ratio < 1
    assert computes(sparse)["actual"] == computes(balanced)["actual"]
    assert sparse.energy_pj < dense.energy_pj


# --- sparse accelerators --------------------------------------------------------------------------------------


EIE = {"alex6": (0.09, 0.351, 28.1), "alex7": (0.09, 0.353, 11.7), "vgg6": (0.04, 0.183, 28.1)}
"""Densities of weights and activations, and the paper's theoretical time in us."""


@pytest.mark.parametrize("layer", EIE)
def test_eie_opens_columns_of_non_zeros(layer: str) -> None:
    result = run("eie", f"architecture sparse {layer}")
    w, a, published = EIE[layer]
    total = computes(result)["total"]
    assert actual(result, "weight_memory", "W") == pytest.approx(w * a * total, rel=5e-4)
    assert result.cycles == pytest.approx(w * a * total / 64, rel=5e-4)
    q = (1 - w) ** 16
    padded = result.cycles / 800 * (1 + q / (1 - q))
    assert result.cycles / 800 < published
    assert padded == pytest.approx(published, rel=0.15)


def test_eie_uneven_rows() -> None:
    """1000 rows do not divide by 64."""
    result = run("eie", "architecture sparse alex8")
    assert result.cycles == pytest.approx(0.25 * 0.375 * 4096 * 16, rel=1e-4)


def test_sigma_uses_its_multipliers() -> None:
    rigid, dense = run("sigma", "systolic dense gemm_systolic"), run("sigma", "architecture dense gemm_flexible_dense")
    sparse = run("sigma", "architecture sparse gemm")
    assert rigid.cycles == 65536 + 16 * (127 + 31)
    assert dense.cycles == 16384 + 65536 / 128 + 4 * 14
    assert sparse.cycles == pytest.approx(4096 + 13107 / 128 + 14, rel=1e-4)
    assert rigid.cycles == pytest.approx(68096, rel=0.001)  # published
    assert sparse.cycles == pytest.approx(4213, rel=0.001)  # published
    assert (rigid.utilization, dense.utilization) == pytest.approx((0.25 * 65536 / 68064, 16384 / 16952))
    assert sparse.utilization == pytest.approx(0.8 * 4096 / sparse.cycles, rel=1e-4)
    half = computes(sparse)
    assert half["gated"] == pytest.approx(half["actual"], rel=1e-4)
    assert half["actual"] == pytest.approx(0.2 * 0.5 * half["total"], rel=1e-4)


def test_gamma_merges_long_rows_twice() -> None:
    short, long = run("gamma", "architecture sparse uniform"), run("gamma", "architecture sparse long_rows")
    products = [4096**3 * a * b for a, b in ((0.002, 0.002), (0.03, 0.01))]
    for result, number, passes in ((short, products[0], 1), (long, products[1], 2)):
        assert computes(result)["actual"] == pytest.approx(number, rel=1e-3)
        assert level_cycles(result, "PE") == pytest.approx(passes * number / 32, rel=1e-3)
    assert long.cycles == level_cycles(long, "PE")
    assert short.cycles == level_cycles(short, "DRAM")
    assert actual(short, "DRAM", "Z", "updates") == pytest.approx(4096**2 * (1 - (1 - 0.002**2) ** 4096), rel=1e-3)


def test_outerspace_writes_and_reads_every_product() -> None:
    multiply, merge = (run("outerspace", f"architecture {phase}_sparse {phase}") for phase in ("multiply", "merge"))
    products = 4096 * 8 * 8
    assert computes(multiply)["actual"] == pytest.approx(products)
    assert actual(multiply, "DRAM", "P", "updates") == actual(merge, "DRAM", "P") == pytest.approx(products)
    assert actual(multiply, "DRAM", "A") == actual(multiply, "DRAM", "B") == pytest.approx(8 * 4096)
    results = 4096**2 * (1 - (1 - (8 / 4096) ** 2) ** 4096)  # independent lists
    assert actual(merge, "DRAM", "Z", "updates") == pytest.approx(results, rel=1e-4)
    (merger,) = merge.to_dict()["units"]
    assert merger["processed"] == pytest.approx(products)
    assert [result.cycles for result in (multiply, merge)] == [level_cycles(result, "DRAM") for result in (multiply, merge)]


@pytest.mark.parametrize(("case", "share"), [("dense dense_weights", 1), ("sparse 2_4", 2), ("sparse 4_8_over_2_4", 4)])
def test_highlight_is_busy_on_both_levels(case: str, share: int) -> None:
    result = run("highlight", f"architecture {case}")
    assert result.cycles == 64 * 1024 * 512 / 1024 / share
    assert result.utilization == pytest.approx(1)


@pytest.mark.parametrize(
    ("case", "bits", "share"), [("fp16_dense", 16, 1), ("fp16_2_4", 16, 2), ("int8_dense", 8, 1), ("int8_2_4", 8, 2)]
)
def test_a100_at_its_peak(case: str, bits: int, share: int) -> None:
    result = run("a100", f"architecture {'sparse' if share == 2 else 'dense'} {case}")
    assert result.cycles == pytest.approx(4096 * 5184 * 5120 / (108 * 4 * 4096 / bits) / share)
    assert 0.9 < level_cycles(result, "SMEM") / result.cycles < 1


def test_extensor_skips_tiles_of_a_band() -> None:
    every, inner = run("extensor", "architecture sparse banded"), run("extensor", "architecture pe_only banded")
    band = [min(k + 8, 1023) - max(k - 8, 0) + 1 for k in range(1024)]
    for result in (every, inner):
        assert computes(result)["actual"] == pytest.approx(sum(n * n for n in band), rel=1e-9)
    for tensor in "AB":
        assert actual(every, "DRAM", tensor) < 0.76 * actual(inner, "DRAM", tensor)
        assert actual(every, "LLB", tensor) < 0.54 * actual(inner, "LLB", tensor)
    assert every.cycles < inner.cycles
    assert every.energy_pj < inner.energy_pj


def test_extensor_finds_no_empty_tile_in_a_uniform_matrix() -> None:
    every, inner = run("extensor", "architecture sparse uniform"), run("extensor", "architecture pe_only uniform")
    assert every.cycles == pytest.approx(inner.cycles, rel=1e-3)
    assert computes(every)["actual"] == pytest.approx(4096**3 * 0.002**2, rel=1e-3)


@pytest.mark.parametrize(("i", "w"), [(0.45, 0.35), (0.1, 0.1), (0.3, 0.3)])
def test_scnn_multiplies_non_zeros(i: float, w: float) -> None:
    sparse, dense = run("scnn", "architecture sparse conv2", I=i, W=w), run("scnn", "architecture dense conv2_dense")
    total = 192 * 64 * 56**2 * 3**2
    assert computes(dense)["actual"] == computes(sparse)["total"] == total
    assert computes(sparse)["actual"] == pytest.approx(i * w * total, rel=1e-3)
    assert computes(sparse)["gated"] == 0
    assert dense.cycles == total / 1024
    assert level_cycles(sparse, "MUL") == pytest.approx(i * w * dense.cycles, rel=1e-3)
    assert sparse.energy_pj < dense.energy_pj


def test_the_page_of_designs_has_these_numbers() -> None:
    page = (Path(__file__).parents[2] / "docs/designs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`, .*? \| (\d+) \| ([\d.]+) \|", page, re.MULTILINE)
    assert len(rows) > 15
    results = list[tuple[str, Result]]()
    print("\n| design | files | cycles | uJ | utilization |")
    for design, files, overrides in ALL:
        result = evaluate(design, files, overrides)
        results.append((design, result))
        names = " ".join([*(name.removesuffix(".yaml") for name in files), *overrides])
        print(f"| {design} | {names} | {result.cycles:.0f} | {result.energy_pj / 1e6:.4g} | {result.utilization:.1%} |")
    assert {name for name, _, _ in rows} == {design for design, _ in results}
    for name, cycles, energy in rows:
        found = [result.energy_pj / 1e6 for design, result in results if design == name and f"{result.cycles:.0f}" == cycles]
        unit = 10.0 ** -len(energy.partition(".")[2]) if len(energy) < 6 else 100.0  # of the last digit shown
        assert any(abs(float(energy) - uj) <= 0.51 * unit for uj in found), (name, cycles, energy, found)
