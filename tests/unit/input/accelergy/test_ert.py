"""Compounds where designs are priced: Timeloop's files without an ERT, and the tables of a priced design."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparseloop
from sparseloop import designs as examples
from sparseloop import load
from sparseloop.energy.estimators import Estimate
from sparseloop.evaluation.evaluate import design_of, evaluate
from sparseloop.input import accelergy
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.spec import Spec
from sparseloop.model.design.arch import Arch
from tests.helpers.accelergy_files import CLASSES
from tests.helpers.timeloop_files import MAPPING, PROBLEM

TREE = """
architecture:
  version: 0.3
  subtree:
  - name: system
    attributes: {technology: 45nm}
    local:
    - {name: DRAM, class: DRAM, attributes: {type: LPDDR4, width: 64, datawidth: 16, block-size: 4}}
    - {name: GLB, class: storage, subclass: spad, attributes: {datawidth: 8, depth: 1024, width: 32}}
    subtree:
    - name: PE[0..7]
      local:
      - {name: RF, class: regfile, attributes: {datawidth: 8, depth: 64, width: 8, meshX: 4}}
      - {name: MAC, class: intmac, attributes: {datawidth: 8, meshX: 4}}
"""


def prices(arch: Arch) -> dict[tuple[str, str], float]:
    return {(level.name, action): price.energy_pj for level in arch.levels for action, price in level.prices.items()}


def arch_of(spec: Spec) -> Arch:
    return design_of(spec).arch


# --- Timeloop's files ---------------------------------------------------------------------------------------


def test_levels_are_priced_through_their_compounds():
    spec = sparseloop.loads(PROBLEM + TREE + MAPPING + CLASSES)
    arch = arch_of(spec)
    glb = arch.levels[1]
    assert glb.prices["read"].source.startswith("compound spad: 1 x storage.read (builtin: CACTI 7 sweep")
    assert glb.prices["read"].confidence == 0.5  # the estimator's, not that of a table
    assert "1 x counters.add (builtin: Horowitz" in glb.prices["read"].source
    alone = sparseloop.loads(PROBLEM + TREE.replace("subclass: spad, ", "").replace("storage", "SRAM") + MAPPING + CLASSES)
    assert glb.prices["read"].energy_pj > arch_of(alone).levels[1].prices["read"].energy_pj > 0
    assert glb.area_um2 > arch_of(alone).levels[1].area_um2 > 0
    assert arch.levels[0].prices["read"].energy_pj == pytest.approx(8 * 64)  # LPDDR4, 8 pJ/bit
    assert evaluate(spec).energy_pj > 0
    assert not any("not estimated" in note for note in spec.notes)


def test_an_ert_comes_first():
    ert = "\nERT: {version: 0.3, tables: [{name: system.GLB, actions: [{name: read, energy: 3}]}]}\n"
    given = sparseloop.loads(PROBLEM + TREE + MAPPING + CLASSES + ert)
    plain = sparseloop.loads(PROBLEM + TREE + MAPPING + ert)
    assert prices(arch_of(given)) == prices(arch_of(plain))
    assert arch_of(given).levels[1].prices["read"].energy_pj == 3


def test_a_converted_file_keeps_the_prices(tmp_path: Path):
    spec = sparseloop.loads(PROBLEM + TREE + MAPPING + CLASSES)
    again = sparseloop.loads(sparseloop.dumps(spec))
    assert prices(arch_of(again)) == prices(arch_of(spec))


def test_mistakes_in_classes_are_found_when_files_are_loaded():
    with pytest.raises(SpecError, match=r"cannot compute 'log\(dept\)'"):
        sparseloop.loads(PROBLEM + TREE + MAPPING + CLASSES.replace("log(depth)", "log(dept)"))


def test_what_has_no_price_is_a_note():
    spec = sparseloop.loads(PROBLEM + TREE + MAPPING + CLASSES.replace("class: intadder", "class: gizmo"))
    assert any("lack of a price of counters.add" in note for note in spec.notes)


def test_sizes_that_are_not_given_have_no_price():
    prices = accelergy.built_in()
    for attributes in ({}, {"depth": 8}, {"width": 1e300, "depth": 4}):
        assert prices.energy(accelergy.Primitive(class_name="SRAM", attributes=attributes), "read", {}) is None
    adder = prices.energy(accelergy.Primitive(class_name="intadder", attributes={"datawidth": 32}), "add", {})
    assert adder is not None
    assert adder.value == pytest.approx(0.1)  # Horowitz, 32 bits at 45 nm
    whole, parts = (
        prices.area(accelergy.Primitive(class_name=c, attributes={"datawidth": 32})) for c in ("intmac", "intmultiplier")
    )
    assert whole is not None
    assert parts is not None
    assert whole.value > parts.value > 0


# --- tables of designs --------------------------------------------------------------------------------------


def shipped(name: str) -> list[str]:
    """The files of a shipped design that make a complete specification."""
    folder = examples.path_of(name)
    folder = folder if folder.is_dir() else folder.parent
    layers = [p for p in sorted(folder.glob("*.yaml")) if p.name not in ("architecture.yaml", "sparse.yaml")]
    return [str(p) for p in (folder / "architecture.yaml", folder / "sparse.yaml", layers[0]) if p.exists()]


@pytest.mark.parametrize("name", ["eyeriss_v1", "scnn"])
@pytest.mark.parametrize("version", ["0.3", "0.4"])
def test_the_tables_of_a_design_price_it_alike(name: str, version: str, tmp_path: Path):
    files = shipped(name)
    arch = arch_of(load(*files))
    accelergy.write_ert(accelergy.reference_tables_of_arch(arch), tmp_path / "ert.yaml", version)
    table = f"energy={{ert: {tmp_path / 'ert.yaml'}, art: {tmp_path / 'ert.yaml'}}}"
    again = design_of(load(*files, overrides=[table]))
    assert prices(again.arch) == prices(arch)
    assert [level.area_um2 for level in again.arch.levels] == [level.area_um2 for level in arch.levels]
    assert not any("no level" in text or "price no action" in text for text in again.warnings)


def test_the_tables_of_timeloops_files_price_them_alike(tmp_path: Path):
    spec = sparseloop.loads(PROBLEM + TREE + MAPPING + CLASSES)
    tables = accelergy.reference_tables_of_arch(arch_of(spec))
    again = sparseloop.loads(PROBLEM + TREE + MAPPING + accelergy.ert_text(tables))
    assert prices(arch_of(again)) == prices(arch_of(spec))


def test_networks_stay_in_the_architecture():
    tables = accelergy.reference_tables_of_arch(arch_of(load(*shipped("eyeriss_v1"))))
    (note,) = tables.notes
    start = "prices of networks stay in the architecture, an energy table cannot hold them: "
    assert note.startswith(start)
    assert "NoC" in note.removeprefix(start).split(", ")


# --- traps of tables ----------------------------------------------------------------------------------------


def eval_with(ert: str, tmp_path: Path) -> Spec:
    (tmp_path / "ert.yaml").write_text(ert, encoding="utf-8")
    return load(*shipped("eyeriss_v1"), overrides=[f"energy={{ert: {tmp_path / 'ert.yaml'}}}"])


def test_a_component_that_is_no_level_is_warned_of(tmp_path: Path):
    spec = eval_with("ERT: {version: '0.4', tables: [{name: 's.GLBB[1..1]', actions: [{name: read, energy: 1}]}]}", tmp_path)
    warned = "components of the energy tables that are no level: GLBB; did you mean 'GLB'?"
    assert warned in design_of(spec).warnings


def test_ranges_from_ten_on_and_the_alias_of_gated_metadata(tmp_path: Path):
    actions = "[{name: read, energy: 1}, {name: metadata_gated_read, energy: 0.5}]"
    spec = eval_with(f"ERT: {{version: '0.4', tables: [{{name: 's.PE[10..19].GLB[12..25]', actions: {actions}}}]}}", tmp_path)
    glb = arch_of(spec).levels[1]
    assert glb.prices["read"].energy_pj == 1
    assert glb.prices["gated_metadata_read"].energy_pj == 0.5


def test_a_summary_in_place_of_a_table_is_a_mistake(tmp_path: Path):
    spec = eval_with("ERT_summary: {version: 0.3, table_summary: []}", tmp_path)
    with pytest.raises(SpecError, match="ERT_summary is a summary, not a table"):
        design_of(spec)


def test_the_command_writes_tables_that_price_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sparseloop.cli.app import main

    files = [str(examples.path_of(f"eyeriss_v1/{name}")) for name in ("architecture", "sparse", "conv3")]
    table = tmp_path / "ert.yaml"
    assert main(["energy", *files, "--ert", str(table)]) == 0
    again = sparseloop.load(*files, overrides=[f"energy.ert={table}", f"energy.art={table}"])
    assert sparseloop.evaluate(again).energy_pj == pytest.approx(sparseloop.evaluate(sparseloop.load(*files)).energy_pj, rel=1e-9)
    assert main(["energy", *files, "--ert", str(tmp_path / "missing" / "ert.yaml")]) == 2
    assert "cannot write the file" in capsys.readouterr().err


def test_a_table_of_several_layers_says_whose_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sparseloop.cli.app import main

    einsum = 'einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, n: 4, k: 4}'
    text = (
        f"workload: {{}}\nlayers:\n  - {{name: one, {einsum}, word_bits: 8}}\n  - {{name: two, {einsum}, word_bits: BITS}}\n"
        "architecture: {levels: [{name: DRAM, class: dram}, {name: MAC, class: mac}]}\n"
    )
    for bits, told in (("8", False), ("16", True)):
        (tmp_path / "spec.yaml").write_text(text.replace("BITS", bits), encoding="utf-8")
        assert main(["energy", str(tmp_path / "spec.yaml"), "--ert", str(tmp_path / "ert.yaml")]) == 0
        assert ("is of 'one'; prices of other layers differ" in capsys.readouterr().err) == told


def test_units_between_levels_have_built_in_prices() -> None:
    def one(class_name: str, **attributes: float) -> Estimate | None:
        known = {"technology": "40nm", "datawidth": 32, **attributes}
        return accelergy.built_in().energy(accelergy.Primitive(class_name=class_name, attributes=known), "transfer", {})

    narrow, wide, router = one("crossbar", n_outputs=4), one("crossbar", n_outputs=8), one("router")
    assert narrow is not None
    assert wide is not None
    assert router is not None
    assert narrow.value == pytest.approx(0.68)
    assert wide.value == pytest.approx(1.36)
    assert router.value > 0
    assert "ISAAC" in router.source
