"""What levels are made of: the units of sparse features, stores of metadata, leakage over time, networks; `sparseloop energy`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.cli.app import main
from sparseloop.energy.estimators import Query, offer
from sparseloop.input.diagnostics import SpecError
from sparseloop.model.design.arch import Level, Network, Part
from tests.helpers.samples import DENSE, MATMUL


def level(text: str, name: str, *overrides: str) -> Level:
    arch = sl.design_of(sl.loads(text, overrides=list(overrides))).arch
    return next(one for one in arch.levels if one.name == name)


def parts(text: str, name: str, *overrides: str) -> dict[str, Part]:
    return {part.name: part for part in level(text, name, *overrides).parts}


# --- units ----------------------------------------------------------------------------------------------------


def test_features_bring_their_units() -> None:
    assert list(parts(DENSE, "RF")) == ["array", "addresses"]
    found = parts(MATMUL, "RF")
    units = [part.name for part in found.values() if part.unit]
    assert units == ["UOP decoder of A", "CP decoder of A", "decompressor of B", "intersection of A and B"]
    assert found["intersection of A and B"].tensors == {"A", "B"}
    assert parts(MATMUL, "MAC")["zero detectors"].count == 2


def test_as_many_units_as_words_leave_in_a_cycle() -> None:
    """The GLB feeds 64 RFs with 16 words per cycle; an RF feeds one MAC."""
    assert parts(MATMUL, "GLB")["intersection of A and B"].count == 16
    assert parts(MATMUL, "GLB", "architecture.levels.GLB.bandwidth=1000")["intersection of A and B"].count == 64
    assert parts(MATMUL, "RF")["intersection of A and B"].count == 1


def test_the_style_of_an_intersection_follows_the_format() -> None:
    listed = level(MATMUL, "RF").prices["intersect"]
    masks = level(MATMUL.replace("RF: {formats: {A: csr}", "RF: {formats: {A: bitmask}"), "RF").prices["intersect"]
    skipping = level(MATMUL, "RF", "sparse.RF.intersection=skip_ahead").prices["intersect"]
    assert listed.energy_pj != masks.energy_pj
    assert skipping.energy_pj > listed.energy_pj
    assert "intersection of A and B" not in parts(MATMUL, "RF", "sparse.RF.intersection=leader_follower")


def test_what_costs_nothing_is_not_there() -> None:
    free = MATMUL.replace("class: regfile,", "class: regfile, energy: {intersect: 0},")
    assert "intersection of A and B" in parts(MATMUL, "RF")
    assert "intersection of A and B" not in parts(free, "RF")


def test_areas_add_up_and_a_given_area_is_the_whole() -> None:
    for name in ("DRAM", "GLB", "RF", "MAC"):
        one = level(MATMUL, name)
        assert one.area_um2 == pytest.approx(sum(part.count * part.area_um2 for part in one.parts))
    given = level(MATMUL.replace("class: regfile,", "class: regfile, area: 500,"), "RF")
    assert given.area_um2 == 500
    assert sum(part.count * part.area_um2 for part in given.parts) == 500


def test_a_feature_that_does_not_pay_shows_it() -> None:
    """On dense operands skipping and intersecting cost energy and area and save nothing."""
    full = ["workload.density.A=1", "workload.density.B=1"]
    with_it = sl.evaluate(sl.loads(MATMUL, overrides=full))
    without = sl.evaluate(sl.loads(DENSE))
    assert with_it.energy_pj > without.energy_pj
    assert with_it.area_um2 > without.area_um2
    assert with_it.cycles >= without.cycles


def test_metadata_has_a_store_of_its_own() -> None:
    store = parts(MATMUL, "GLB")["metadata"]
    sizes = {"capacity_bits": 65536.0, "width_bits": 16.0, "depth": 4096, "banks": 1}
    same = offer(Query(class_name="sram", kind="storage", attributes=sizes)).answer
    assert same.area_um2 is not None
    assert store.area_um2 == same.area_um2.value
    assert level(MATMUL, "GLB").prices["metadata_read"].energy_pj == same.energy_pj["read"].value
    assert "metadata" not in parts(MATMUL, "RF")
    assert "share of" in level(MATMUL, "RF").prices["metadata_read"].source


def test_clusters_share_one_array() -> None:
    shared = parts(MATMUL.replace("class: regfile,", "class: sram, cluster_size: 4,"), "RF")
    assert shared["array"].count == 0.25
    assert shared["addresses"].count == 1


# --- leakage and time -----------------------------------------------------------------------------------------


def test_leakage_is_charged_on_cycles_times_instances() -> None:
    result = sl.evaluate(sl.loads(MATMUL))
    for record, one in zip(result.to_dict()["levels"], result.plan.arch.levels, strict=True):
        leaks = [a for a in record["actions"] if a["action"] == "leak"]
        assert [a["count"] for a in leaks] == [result.cycles * one.instances]
        assert one.prices["leak"].energy_pj == pytest.approx(sum(p.count * p.leak_pj for p in one.parts))


def test_a_slower_clock_leaks_longer() -> None:
    fast, slow = (level(MATMUL, "GLB", f"architecture.clock={clock}").prices["leak"] for clock in ("1 GHz", "200 MHz"))
    assert slow.energy_pj == pytest.approx(5 * fast.energy_pj)


def test_given_leakage_is_the_whole() -> None:
    given = level(MATMUL.replace("class: regfile,", "class: regfile, energy: {leak: 0.5},"), "RF")
    assert given.prices["leak"].energy_pj == 0.5
    assert sum(part.count * part.leak_pj for part in given.parts) == 0.5


def test_timeloops_files_are_priced_by_timeloops_rules() -> None:
    literal = level(MATMUL, "RF", "reading=timeloop")
    assert literal.prices["leak"].energy_pj == literal.prices["decode"].energy_pj == literal.area_um2 == 0
    assert literal.parts == ()


# --- supply, networks, announcements --------------------------------------------------------------------------


def test_a_lower_supply_costs_less() -> None:
    def read(*overrides: str) -> float:
        return level(MATMUL, "GLB", *overrides).prices["read"].energy_pj

    assert read("architecture.vdd=0.45") == pytest.approx(read() / 4)
    assert read("architecture.vdd=0.45", "architecture.levels.GLB.vdd=0.9") == pytest.approx(read())


def network(fields: str, *overrides: str) -> Network:
    found = level(MATMUL.replace("metadata: 8 KiB", f"metadata: 8 KiB, network: {{{fields}}}"), "GLB", *overrides).network
    assert found is not None
    return found


def test_wires_have_a_default_price_that_is_less_sure_than_one_that_is_asked_for() -> None:
    asked, default = network("estimator: builtin"), network("")
    assert default.wire_pj_per_bit_mm == asked.wire_pj_per_bit_mm == pytest.approx(0.1215)
    assert default.source == f"default, a mesh: {asked.source}"
    assert default.confidence == asked.confidence / 2
    assert sl.evaluate(sl.loads(MATMUL)).warnings == ()


def test_the_background_power_of_dram_is_off_chip() -> None:
    leak = level(MATMUL, "DRAM").prices["leak"]
    assert (leak.energy_pj, leak.confidence) == (0.0, 0.1)
    assert "background power of the DRAM is off chip" in leak.source
    given = level(MATMUL.replace("class: dram", "class: dram, energy: {leak: 2.5}"), "DRAM").prices["leak"]
    assert (given.energy_pj, given.source) == (2.5, "given")


def test_wires_are_priced_where_an_estimator_is_asked() -> None:
    asked = network("estimator: builtin")
    assert asked.source.startswith("builtin: ")
    assert asked.wire_pj_per_bit_mm == pytest.approx(0.1215)
    assert network("estimator: builtin", "architecture.vdd=0.45").wire_pj_per_bit_mm == pytest.approx(0.1215 / 4)
    for field in ("wire_pj_per_bit_mm: 0", "energy_per_hop: 0", "router: 1"):
        given = network(field)
        assert (given.source, given.wire_pj_per_bit_mm) == ("given", 0)
    with pytest.raises(SpecError, match="unknown estimator 'buildin'"):
        network("estimator: buildin")


def test_packed_positions_lie_as_densely_as_the_lanes_allow() -> None:
    """Twice as many positions as lanes along each axis, packed by a spatial skip, are closer."""
    packed = MATMUL.replace("skip: [B <- A]}\n  RF", "spatial_skip: [A <- A]}\n  RF")
    assert packed != MATMUL
    crowded = packed.replace("fanout: {x: 8, y: 8}", "fanout: {x: 4, y: 4}")
    far, near = (sl.evaluate(sl.loads(text)).cost.networks[1].hops for text in (packed, crowded))
    assert far["A"] == 7 + 8 * 2  # along the row, and in each of 8 columns to its rows
    assert near["A"] == 7 / 2 + (8 / 2) * (2 / 2)
    assert near["B"] < far["B"]
    assert near["Z"] < far["Z"]


def test_zero_prices_are_announced_once_per_level(tmp_path: Path) -> None:
    (tmp_path / "ert.csv").write_text("component,action,energy_pj\nRF,read,0\nRF,write,0\n", encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(MATMUL + "energy: {ert: ert.csv}\n", encoding="utf-8")
    warnings = [text for text in sl.evaluate(sl.load(tmp_path / "spec.yaml")).warnings if text.startswith("RF: 0 pJ")]
    assert "RF: 0 pJ for read: ert.csv:2 (read)" in warnings
    assert "RF: 0 pJ for fill, update: ert.csv:3 (write)" in warnings
    assert not any("skipped" in text for text in warnings)
    unlimited = sl.evaluate(
        sl.loads(MATMUL.replace("capacity: 64 words, ", "").replace("RF, class: regfile", "RF, class: buffer"))
    )
    (unknown,) = (text for text in unlimited.warnings if text.startswith("RF: no price"))
    assert "gated_update" in unknown
    given = sl.evaluate(sl.loads(MATMUL.replace("class: regfile,", "class: regfile, energy: {read: 0, write: 0},")))
    assert not any("read" in text for text in given.warnings)


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "spec.yaml").write_text(MATMUL, encoding="utf-8")
    return str(tmp_path / "spec.yaml")


def test_energy_table(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", spec]) == 0
    shown = capsys.readouterr()
    for text in ("GLB (sram): area", "fill, update", "intersect", "area: intersection of A and B", "wire", "[1] builtin: LPDDR4"):
        assert text in shown.out
    assert shown.err == ""


def test_energy_json(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", spec, "-f", "json", "--set", "architecture.levels.GLB.energy.read=2"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "sparseloop.energy/1"
    glb = data["components"][1]
    assert glb["actions"][0] == {"action": "read", "energy_pj": 2.0, "unit": "pJ/access", "source": "given", "confidence": 1.0}
    assert glb["area_um2"] == pytest.approx(sum(p["count"] * p["area_um2"] for p in glb["parts"]))
    assert [network["name"] for network in data["networks"]] == ["DRAM <==> GLB", "GLB <==> RF", "RF <==> MAC"]


def test_energy_csv(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", spec, "-f", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["quantity"] for row in rows} == {"energy", "area", "leakage"}
    assert all(row["source"] and 0 <= float(row["confidence"]) <= 1 for row in rows)
    assert {row["component"] for row in rows} >= {"DRAM", "GLB", "RF", "MAC", "GLB <==> RF"}


def test_energy_needs_no_mapping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = MATMUL[: MATMUL.index("mapping:")] + MATMUL[MATMUL.index("sparse:") :]
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    assert main(["energy", str(tmp_path / "spec.yaml"), "-f", "csv"]) == 0
    assert "GLB,energy,read," in capsys.readouterr().out
