"""Prices: what is given wins, then tables, then estimates; Timeloop's chains for Timeloop's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.energy.components import Component
from sparseloop.energy.estimators.constants import value
from sparseloop.energy.pricing import ACTIONS, NATIVE_NAMES, TIMELOOP_NAMES, PriceRequest, TableEntry, price_level, used_actions
from sparseloop.energy.timeloop_pat import timeloop_energy
from sparseloop.input import accelergy
from sparseloop.input.diagnostics import SpecError
from sparseloop.model.design.arch import Price
from tests.helpers.samples import MATMUL

GLB = Component(name="GLB", kind="storage", class_name="sram", word_bits=16, capacity_words=8192, metadata_access_bits=4)
MAC = Component(name="MAC", kind="compute", class_name="mac", word_bits=16)


def energies(request: PriceRequest) -> dict[str, float]:
    return {action: price.energy_pj for action, price in price_level(request).prices.items()}


def table(**entries: float) -> dict[str, TableEntry]:
    return {name: TableEntry(energy, f"ERT ert.yaml:{i}") for i, (name, energy) in enumerate(entries.items(), 1)}


def test_every_action_has_a_price():
    storage, compute = price_level(PriceRequest(component=GLB)), price_level(PriceRequest(component=MAC))
    assert set(storage.prices) | set(compute.prices) == set(ACTIONS)
    assert set(NATIVE_NAMES) == set(TIMELOOP_NAMES) == set(ACTIONS)
    assert all(price.source for price in (*storage.prices.values(), *compute.prices.values()))
    assert storage.warnings == compute.warnings == ()


def test_given_price_wins_over_table_and_estimate():
    found = price_level(PriceRequest(component=GLB, own={"read": 3.0, "write": 4.0}, table=table(read=1.0, update=9.0)))
    assert found.prices["read"].energy_pj == 3.0
    assert found.prices["read"].source == "given"
    assert found.prices["fill"].energy_pj == 4.0
    assert found.prices["update"].energy_pj == 4.0


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("write", "fill"),
        ("write", "update"),
        ("random_read", "read"),
        ("gated_write", "gated_update"),
        ("gated_metadata_write", "gated_metadata_fill"),
        ("metadata_gated_read", "gated_metadata_read"),
        ("decompression_count", "decompress"),
        ("compression_count", "compress"),
        ("intersect_try", "intersect"),
    ],
)
def test_names_of_other_tools_are_understood(name: str, action: str):
    price = price_level(PriceRequest(component=GLB, table=table(**{name: 7.5}))).prices[action]
    assert price.energy_pj == 7.5
    assert price.source == f"ERT ert.yaml:1 ({name})"


@pytest.mark.parametrize("name", ["mac_random", "mult_random", "mac", "mult", "compute"])
def test_names_of_computes(name: str):
    assert energies(PriceRequest(component=MAC, table=table(**{name: 2.5})))["compute"] == 2.5


def test_native_does_not_fall_back_to_another_action():
    found = energies(PriceRequest(component=MAC, table=table(compute=2.0)))
    assert found["gated_compute"] == pytest.approx(0.06)  # 3 % of the table's compute
    assert found["skipped_compute"] == 0.0


def test_metadata_is_priced_by_its_bits():
    found = energies(PriceRequest(component=GLB))
    assert found["metadata_read"] == pytest.approx(found["read"] * 4 / 16)
    free = energies(PriceRequest(component=replace(GLB, metadata_access_bits=0)))
    assert free["metadata_read"] == 0.0


def test_gated_is_a_small_fraction_and_skipped_is_free():
    found = energies(PriceRequest(component=GLB))
    assert 0 < found["gated_read"] < 0.001 * found["read"]
    spad = energies(PriceRequest(component=replace(GLB, class_name="regfile", capacity_words=64)))
    assert spad["gated_read"] == pytest.approx(0.02 * spad["read"])
    assert all(found[a] == 0.0 for a in found if a.startswith("skipped"))


def test_horowitz_anchors():
    add, mul = value("int add 32"), value("int multiply 32")
    assert energies(PriceRequest(component=replace(MAC, word_bits=32)))["compute"] == pytest.approx(add + mul)
    eight = energies(PriceRequest(component=replace(MAC, word_bits=8)))["compute"]
    assert eight == pytest.approx(0.2 + 0.1, rel=0.02)  # 8-bit multiplier, 32-bit accumulator
    half = energies(PriceRequest(component=replace(MAC, class_name="fpmac")))["compute"]
    assert half == pytest.approx(1.1 + 0.4, rel=0.02)  # FP16 multiply and add


@pytest.mark.parametrize(("kilobytes", "published"), [(8, 10.0), (32, 20.0), (1024, 100.0)])
def test_sram_is_near_horowitz(kilobytes: int, published: float):
    sram = replace(GLB, word_bits=64, capacity_words=kilobytes * 128)
    assert energies(PriceRequest(component=sram))["read"] == pytest.approx(published, rel=0.45)


def test_larger_and_wider_memories_cost_more():
    def read(**changes: float) -> float:
        return energies(PriceRequest(component=replace(GLB, **changes)))["read"]

    assert read(capacity_words=4096) < read(capacity_words=8192) < read(capacity_words=1 << 20)
    assert read(word_bits=8) < read() < read(word_bits=32)
    assert read(node_nm=7) < read(node_nm=22) < read() < read(node_nm=65) < read(node_nm=180)


def test_dram_by_type():
    dram = Component(name="DRAM", kind="storage", class_name="dram", type="HBM2", word_bits=8, block_size=4)
    assert energies(PriceRequest(component=dram))["read"] == pytest.approx(3.9 * 32)
    unknown = price_level(PriceRequest(component=replace(dram, type="XDR9")))
    assert unknown.prices["read"].energy_pj == 0.0
    assert unknown.warnings == ("DRAM: no price for read, fill, update: counted as 0 pJ",)


def test_only_actions_that_can_occur_are_warned_of():
    unlimited = replace(GLB, capacity_words=None)
    quiet = PriceRequest(component=unlimited, used=frozenset())
    assert price_level(quiet).warnings == (
        "GLB: no price for address_generation, leak: counted as 0 pJ",
        "GLB: no area for array: counted as 0 um2",
    )
    used = used_actions(metadata=True, gating=False, skipping=False, decompression=False, compression=False)
    assert "metadata_fill" in price_level(replace(quiet, used=used)).warnings[0]


def test_entries_nobody_asks_for_are_named():
    found = price_level(PriceRequest(component=GLB, own={"raed": 1.0}, table=table(read=1.0, idle=0.1)))
    assert found.warnings == (
        "GLB: entries of the energy table that price no action: idle",
        "GLB: prices of unknown actions are not used: raed",
    )


def test_area():
    assert price_level(PriceRequest(component=GLB)).area_um2 > 1000
    assert price_level(PriceRequest(component=GLB, own_area=5.0)).area_um2 == 5.0
    found = price_level(PriceRequest(component=GLB, area_table=TableEntry(7.0, "ART art.yaml:4")))
    assert (found.area_um2, found.area.source) == (7.0, "ART art.yaml:4")
    assert price_level(PriceRequest(component=GLB, reading="timeloop")).area_um2 == 0.0
    mac = price_level(PriceRequest(component=replace(MAC, word_bits=8))).area_um2
    assert mac == pytest.approx(282 + 137, rel=0.05)


# --- Timeloop's files ------------------------------------------------------------------------------------


def timeloop(component: Component, **entries: float) -> PriceRequest:
    used = used_actions(metadata=True, gating=True, skipping=True, decompression=False, compression=False)
    return PriceRequest(component=component, table=table(**entries) or None, reading="timeloop", used=used)


def test_timeloop_chain_of_accesses():
    found = energies(timeloop(GLB, read=2.0, write=3.0, update=4.0, gated_read=0.1, gated_write=0.2, skipped_write=0.3))
    assert [found[a] for a in ("read", "fill", "update")] == [2.0, 3.0, 4.0]
    assert [found[a] for a in ("gated_read", "gated_fill", "gated_update")] == [0.1, 0.2, 0.2]
    assert [found[a] for a in ("skipped_read", "skipped_fill", "skipped_update")] == [0.1, 0.3, 0.3]


def test_timeloop_charges_nothing_for_missing_gated_and_metadata_accesses():
    found = price_level(timeloop(GLB, read=2.0, write=3.0, metadata_gated_read=0.5))
    assert found.prices["gated_read"].energy_pj == 0.0
    assert found.prices["gated_metadata_read"].energy_pj == 0.0
    text = "\n".join(found.warnings)
    assert "GLB: no price for gated_read, skipped_read" in text
    assert "price no action: metadata_gated_read" in text


def test_timeloop_charges_a_missing_gated_compute_in_full():
    found = price_level(timeloop(MAC, compute=2.0, mac_skipped=0.5))
    assert found.prices["gated_compute"].energy_pj == 2.0
    assert found.prices["skipped_compute"].energy_pj == 0.5
    assert found.warnings == ("MAC: no price for gated_compute: the full price of a compute is taken",)


def test_timeloop_takes_the_highest_entry_for_a_missing_access():
    found = price_level(timeloop(GLB, access=0.25, leak=0.5))
    assert found.prices["read"].energy_pj == 0.5
    assert "GLB: no price for read, fill, update: the highest entry of the table is taken" in found.warnings


def test_vector_access_energy_makes_the_level_ignore_the_table():
    request = replace(timeloop(GLB, read=2.0, gated_read=1.0), own={"read": 9.0, "fill": 9.0, "update": 9.0})
    found = energies(request)
    assert (found["read"], found["update"], found["gated_read"]) == (9.0, 9.0, 0.0)
    address = energies(replace(timeloop(GLB, read=2.0), own={"address_generation": 0.5}))
    assert (address["read"], address["address_generation"]) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (Component(name="A", kind="storage", word_bits=8, block_size=4, capacity_words=4096), 2.35),
        (Component(name="B", kind="storage", word_bits=8, block_size=2, cluster_size=2, capacity_words=32), 0.98),
        (Component(name="C", kind="storage", class_name="dram", word_bits=16, block_size=4), 800.0),
        (Component(name="D", kind="compute", word_bits=8), 0.25),
    ],
)
def test_timeloop_built_in_table(component: Component, expected: float):
    price = timeloop_energy(component)
    assert price is not None
    assert price.value == pytest.approx(expected, rel=0.01)


def test_timeloop_without_a_size_is_warned_of():
    found = price_level(timeloop(replace(GLB, capacity_words=None)))
    assert "GLB: no price for read, fill, update: 0 pJ (no capacity given)" in found.warnings


# --- tables of one's own -----------------------------------------------------------------------------------


def test_tables_as_csv(tmp_path: Path):
    (tmp_path / "prices.csv").write_text(
        "# measured\ncomponent,action,energy_pj,source\nGLB,read,3.5,chip\nsystem.GLB[0..1],write,2 nJ,\n\nMAC,compute,0.5,chip\n"
    )
    (tmp_path / "areas.csv").write_text("component,area_um2\nGLB,700\n")
    (tmp_path / "spec.yaml").write_text(MATMUL + "energy: {ert: prices.csv, art: areas.csv}\n")
    arch = sl.evaluate(sl.load(tmp_path / "spec.yaml")).plan.arch
    glb = arch.levels[1]
    assert glb.prices["read"] == Price(energy_pj=3.5, source="chip (prices.csv:3) (read)", confidence=0.95)
    assert (glb.prices["fill"].energy_pj, glb.prices["fill"].source) == (2000, "prices.csv:4 (write)")
    assert glb.area_um2 == 700
    assert sum(part.area_um2 * part.count for part in glb.parts) == 700
    assert arch.compute.prices["compute"].energy_pj == 0.5


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("component,action,energy\nGLB,read,3\n", "1:18:", "unknown column 'energy'"),
        ("component,energy_pj\nGLB,3\n", "1:1:", "columns are missing"),
        ("component,action,energy_pj\nGLB,read,three\n", "2:10:", "three"),
        ("component,action,energy_pj\nGLB,read,-3\n", "2:10:", "expected an energy (pJ) >= 0"),
        ("component,action,energy_pj\nGLB,,3\n", "2:1:", "a price without action"),
        ("component,action,energy_pj\nGLB,read,3\nGLB,write\n", "3:1:", "a line without energy_pj and area_um2"),
        ("component,action,energy_pj\nGLB,read,3,4,5\n", "2:1:", "5 cells for 3 columns"),
        ('component,action,energy_pj\nGLB,"read,3\n', "2:1:", "cannot read the line"),
        ("GLB,read,3.5,chip\nGLB,write,2,chip\n", "1:1:", "no line with the names of the columns"),
        ("", "13:15:", "holds no ERT and no ART"),
    ],
)
def test_mistakes_in_csv_tables(tmp_path: Path, text: str, place: str, message: str):
    (tmp_path / "prices.csv").write_text(text)
    (tmp_path / "spec.yaml").write_text(
        "energy: {ert: prices.csv}\n" + MATMUL if text else MATMUL + "energy: {ert: prices.csv}\n"
    )
    with pytest.raises(SpecError) as error:
        sl.evaluate(sl.load(tmp_path / "spec.yaml"))
    shown = str(error.value)
    assert message in shown
    assert (f"prices.csv:{place}" in shown) or not text
    assert shown.count("error: ") == (2 if "unknown column" in message else 1)


def test_an_area_that_nobody_knows_is_told():
    text = MATMUL.replace("capacity: 16 KiB, ", "").replace("metadata: 8 KiB", "block_size: 1")
    assert "GLB: no area for array: counted as 0 um2" in sl.evaluate(sl.loads(text)).warnings
    given = sl.evaluate(sl.loads(text.replace("block_size: 1", "area: 0"))).warnings
    assert not [warning for warning in given if "no area" in warning]


def test_free_gated_actions_are_told_in_one_line():
    text = MATMUL.replace("DRAM: {formats: {A: csr, B: csr}}", "DRAM: {formats: {A: csr, B: csr}, gate: [B <- A]}")
    (note,) = [warning for warning in sl.evaluate(sl.loads(text)).warnings if "gated" in warning]
    assert note.startswith("DRAM: 0 pJ for gated_read, gated_fill, gated_update, gated_metadata_read, ")


def test_tables_of_a_priced_design_are_read_back_without_ado(tmp_path: Path):
    """What is free by its meaning is no surprise in a table either; other zeros are told."""
    plain = sl.evaluate(sl.loads(MATMUL))
    accelergy.write_ert(accelergy.reference_tables_of_arch(plain.plan.arch), tmp_path / "ert.yaml")
    (tmp_path / "spec.yaml").write_text(MATMUL + "energy: {ert: ert.yaml, art: ert.yaml}\n")
    again = sl.evaluate(sl.load(tmp_path / "spec.yaml"))
    assert (again.energy_pj, again.area_um2) == pytest.approx((plain.energy_pj, plain.area_um2), rel=1e-12)
    assert again.warnings == plain.warnings


def _line(file: Path, action: str) -> int:
    """Where the first entry of an action begins."""
    return 1 + file.read_text().splitlines().index(f"    - name: {action}")
