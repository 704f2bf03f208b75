"""Import of Timeloop's files: sparse features, constraints, energy and area tables."""

from __future__ import annotations

import pytest

from sparseloop.input.resolve import resolve
from sparseloop.input.timeloop.tables import base_name
from tests.helpers.timeloop_files import ARCHITECTURE, MAPPING, PROBLEM, convert, level, line_of, mistakes

# --- sparse ----------------------------------------------------------------------------------------------

SPARSE = """
sparse_optimizations:
  targets:
  - name: DRAM
    representation-format:
      data-spaces:
      - name: A
        rank-application-order: inner-to-outer
        ranks: [{format: uop, payload-word-bits: 0}, {format: CP, flattened-rankIDs: [[K, M]], metadata-word-bits: 5}]
    action-optimization:
    - {type: skipping, options: [{target: B, condition-on: [A]}, {target: A, condition-on: [B]}]}
    - {type: gating, target: Z, condition-on: [A, B]}
    - {type: skipping-spatial, target: A, condition-on: [B]}
  - name: MAC
    compute-optimization: [{type: skip_on_not_aligned_operands}, {type: gate-on-zero-operand}]
"""
WITH_METADATA = ARCHITECTURE.replace("block-size: 4", "block-size: 4, metadata_storage_width: 24, metadata_datawidth: 4")


def test_formats_and_widths():
    spec = convert(PROBLEM, WITH_METADATA, MAPPING, SPARSE)
    form = spec.sparse["DRAM"].formats["A"]
    assert (form.order, form.automatic) == ("inner_to_outer", False)
    uop, cp = form.ranks
    assert (uop.kind, uop.ranks, uop.metadata_bits, uop.payload_bits) == ("UOP", (), 4, 0)
    assert (cp.kind, cp.ranks, cp.metadata_bits, cp.payload_bits) == ("CP", (("K", "M"),), 6, 4)
    assert "metadata_word_bits 5 does not divide the storage width 24: taken as 6" in spec.notes[0]


def test_coordinates_without_a_width_are_told():
    """Timeloop counts 0 bits of metadata then: in a comparison of formats such a one would win for nothing."""
    sparse = SPARSE.replace(", payload-word-bits: 0", "").replace(", metadata-word-bits: 5", "")
    spec = convert(PROBLEM, ARCHITECTURE, MAPPING, sparse)
    assert [rank.metadata_bits for rank in spec.sparse["DRAM"].formats["A"].ranks] == [0, 0]
    assert "the metadata of 'A' has no width here and counts 0 bits" in spec.notes[0]


def test_features():
    spec = convert(PROBLEM, WITH_METADATA, MAPPING, SPARSE)
    dram, mac = spec.sparse["DRAM"], spec.sparse["MAC"]
    assert not isinstance(dram.skip, bool)
    assert not isinstance(dram.gate, bool)
    assert [(s.follower, s.leaders, s.choice) for s in dram.skip] == [("B", ("A",), 1), ("A", ("B",), 1)]
    assert [(s.follower, s.leaders, s.choice) for s in dram.gate] == [("Z", ("A", "B"), None)]
    assert [s.follower for s in dram.spatial_skip] == ["A"]
    assert (mac.skip, mac.gate) == (True, True)
    design = resolve(spec)
    assert design.sparse.compute_skip
    assert not design.sparse.implied_skips


def test_a_word_wider_than_the_metadata_storage_is_refused():
    assert "does not fit the metadata storage of 0 bits" in mistakes(PROBLEM, ARCHITECTURE, MAPPING, SPARSE)


def test_position_skipping_is_a_spatial_skip_on_itself():
    text = SPARSE.replace(
        "{type: gating, target: Z, condition-on: [A, B]}", "{type: position-skipping, target: A, condition-on: []}"
    )
    skips = convert(PROBLEM, WITH_METADATA, MAPPING, text).sparse["DRAM"].spatial_skip
    assert [(s.follower, s.leaders) for s in skips] == [("A", ("A",)), ("A", ("B",))]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: gating", "type: dreaming", "unknown action optimization 'dreaming'"),
        ("format: CP", "format: CSR", "unknown format 'CSR'"),
        ("[[K, M]]", "[[K, J]]", "unknown dimension 'J'"),
        ("name: MAC", "name: ALU", "unknown level 'ALU'"),
        ("target: Z", "target: Q", "unknown data space 'Q'"),
        ("gate-on-zero-operand", "guess", "unknown compute optimization 'guess'"),
    ],
)
def test_mistakes_in_sparse_features(old: str, new: str, message: str):
    assert message in mistakes(PROBLEM, WITH_METADATA, MAPPING, SPARSE.replace(old, new))


# --- constraints -----------------------------------------------------------------------------------------


def test_constraints():
    spec = convert(
        PROBLEM,
        ARCHITECTURE,
        """
architecture_constraints:
  targets:
  - {target: GLB, type: temporal, factors: "M=2 N<=3 K>=2", permutation: KM_N, default_max_factor: 4, remainders: 2}
  - {target: GLB, type: spatial, factors: K=1, permutation: MNK, split: 0, no_link_transfer: [A]}
mapspace_constraints:
- {target: RF, type: bypass, keep: [Z], bypass: [A]}
- {target: RF, constraints: [{type: utilization, attributes: {min: 0.5}}]}
mapper: {algorithm: random}
""",
    )
    glb, fanout, rf = spec.constraints["GLB"], spec.constraints["GLB_fanout"], spec.constraints["RF"]
    assert (glb.factors, glb.max, glb.min) == ({"M": 2}, {"N": 3}, {"K": 2})
    assert (glb.order, glb.default_max, glb.max_remainder) == ("N M K", 4, 2)
    assert (fanout.factors, fanout.order, fanout.split, fanout.no_forwarding) == ({"K": 1}, "K N M", 0, ("A",))
    assert (rf.keep, rf.bypass, rf.min_utilization) == (("Z",), ("A",), 0.5)
    assert "settings of Timeloop's mapper are not taken over" in spec.notes[0]
    assert resolve(spec).mapping is None


def test_free_ranks_stand_where_the_underscore_is():
    text = "mapspace: {targets: [{target: GLB, type: temporal, permutation: K_N}, {target: RF, type: temporal, permutation: M}]}"
    found = convert(PROBLEM, ARCHITECTURE, text).constraints
    assert (found["GLB"].order, found["RF"].order) == ("N ... K", "... M")


def test_a_constraint_given_twice_is_a_mistake():
    text = "arch_constraints: [{target: RF, type: temporal, factors: M=1}]\n"
    text += "mapspace_constraints: [{target: RF, type: temporal, factors: M=2}]"
    assert "constraint given twice, differently: factors of M" in mistakes(PROBLEM, ARCHITECTURE, text)


# --- energy tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DRAM", "DRAM"),
        ("system.PE[0..13].RF[1..12]", "RF"),
        ("system.PE[10..19].RF", "RF"),
        ("a.b[0..13].leaf[100..199]", "leaf"),
        ("wire", "wire"),
    ],
)
def test_names_of_components(name: str, expected: str):
    assert base_name(name) == expected


TABLES = """
ERT:
  version: '0.4'
  tables:
  - name: system.DRAM[1..1]
    actions:
    - {name: read, arguments: {data_delta: 1}, energy: 512}
    - {name: read, arguments: {data_delta: 0}, energy: 0}
    - {name: write, arguments: {}, energy: 400}
  - name: system.PE[0..7].MAC
    actions: [{name: compute, energy: 0.5}]
  - name: wire
    actions: [{name: transfer_random, energy: 0.07}]
  - name: system.spare
    actions: [{name: read, energy: 1}]
ART:
  version: 0.3
  tables: [{name: 'system.PE[0..7].RF', area: 50}]
"""


def test_tables_with_their_lines():
    spec = convert(PROBLEM, ARCHITECTURE, MAPPING, TABLES)
    ert = {t.name: t.actions for t in spec.energy.ert if not isinstance(t, str)}
    assert set(ert) == {"DRAM", "MAC"}
    assert ert["DRAM"]["read"].energy == 512  # the highest variant
    line = line_of("energy: 512", PROBLEM, ARCHITECTURE, MAPPING, TABLES)
    assert ert["DRAM"]["read"].source == f"ERT all.yaml:{line}"
    assert all(level(spec, n).network.wire_pj_per_bit_mm == 0.07 for n in ("DRAM", "GLB", "RF"))
    design = resolve(spec)
    assert design.arch.levels[0].prices["update"].energy_pj == 400
    assert design.arch.levels[2].area_um2 == 50
    assert any("component 'spare' is no level" in note for note in spec.notes)


def test_table_version_0_2_is_a_map():
    text = "ERT: {version: 0.2, tables: {system.GLB: {read: {energy: 3}, write: [{energy: 1}, {energy: 2}]}}}"
    (table,) = convert(PROBLEM, ARCHITECTURE, MAPPING, text).energy.ert
    assert not isinstance(table, str)
    assert {name: price.energy for name, price in table.actions.items()} == {"read": 3, "write": 2}
    assert "unknown table version" in mistakes(PROBLEM, ARCHITECTURE, text.replace("0.2", "0.7"))


def test_ert_wins_over_the_energy_of_the_arithmetic_level():
    architecture = ARCHITECTURE.replace("class: intmac, attributes: {", "class: intmac, attributes: {energy: 3, ")
    assert level(convert(PROBLEM, architecture), "MAC").energy == {"compute": 3}
    spec = convert(PROBLEM, architecture, TABLES)
    assert level(spec, "MAC").energy is None
    assert any("gives way to the ERT" in note for note in spec.notes)
