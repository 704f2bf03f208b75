"""Import of Timeloop's files: what each key becomes, and that nothing is left out in silence."""

from __future__ import annotations

import pytest

from sparseloop.input.diagnostics import SpecError
from sparseloop.input.resolve import resolve
from sparseloop.input.spec import FanoutSpec, Spec
from sparseloop.input.timeloop.flattened_dimensions import digit_loops
from tests.helpers.timeloop_files import ARCHITECTURE, MAPPING, PROBLEM, convert, level, line_of, mistakes


def storage(attributes: str, class_: str = "SRAM", more: str = "") -> Spec:
    """A machine with one level S under test."""
    text = f"""
architecture:
  subtree:
  - name: system
    local:
    - {{name: DRAM, class: DRAM}}
    - {{name: S, class: {class_}, attributes: {{{attributes}}}}}
    - {{name: MAC, class: mac}}
"""
    return convert(PROBLEM, text, more)


# --- the whole -------------------------------------------------------------------------------------------


def test_small_design_resolves():
    spec = convert(PROBLEM, ARCHITECTURE, MAPPING)
    assert spec.reading == "timeloop"
    assert spec.workload.einsum == "Z[M, N] = A[M, K] * B[K, N]"
    assert spec.notes == ()
    names = [x.name for x in spec.architecture.levels]
    assert names == ["DRAM", "GLB", "GLB_fanout", "RF", "MAC"]
    design = resolve(spec)
    assert [(x.mesh_x, x.mesh_y) for x in design.arch.levels] == [(1, 1), (1, 1), (4, 2), (4, 2)]
    assert design.mapping is not None
    loops = [(x.rank, x.level, x.axis) for x in design.mapping.nest.loops]
    assert loops == [("M", 0, None), ("N", 0, None), ("K", 1, None), ("N", 1, "y"), ("M", 1, "x")]
    assert design.mapping.bounds == (2, 3, 4, 2, 4)
    assert design.mapping.nest.keep[-1] == {"Z"}


def test_underscores_are_read_too():
    swapped = (PROBLEM + ARCHITECTURE + MAPPING).replace("data-spaces", "data_spaces").replace("read-write", "read_write")
    swapped = swapped.replace("word-bits", "word_bits").replace("block-size", "block_size")
    assert convert(swapped).model_dump() == convert(PROBLEM, ARCHITECTURE, MAPPING).model_dump()


def test_a_node_needs_no_unit():
    """It stands beside a name: `technology: 45` is 45 nm too."""
    named = ARCHITECTURE.replace("- name: system", "- name: system\n    attributes: {technology: NODE}", 1)
    for text in ("45", "45nm", "45 nm"):
        assert convert(PROBLEM, named.replace("NODE", text)).architecture.node == 45


def test_missing_parts_are_named():
    assert "no 'architecture' in the files" in mistakes(PROBLEM)
    assert "no 'problem' in the files" in mistakes(ARCHITECTURE)
    assert "give the file with 'problem:' as well; for the prices of an architecture alone" in mistakes(ARCHITECTURE)


def test_a_misspelt_key_is_pointed_at_and_hides_what_follows_from_it():
    told = mistakes(PROBLEM.replace("dimensions", "dimenions"), ARCHITECTURE)
    assert "unknown key 'dimenions' of the shape" in told
    assert "^^^^^^^^^  did you mean 'dimensions'?" in told
    assert told.splitlines()[-1] == "1 error"
    hyphens = mistakes(PROBLEM.replace("data-spaces", "data-spacs"), ARCHITECTURE)
    assert "^^^^^^^^^^  did you mean 'data-spaces'?" in hyphens
    assert "the shape has no dimensions" in mistakes("problem: {shape: {name: empty}, instance: {M: 2}}", ARCHITECTURE)


def test_unknown_keys_give_notes_with_lines():
    texts = (PROBLEM, ARCHITECTURE.replace("depth: 1024", "depth: 1024, colour: red"), MAPPING, "wibble: 3")
    assert convert(*texts).notes == (
        f"all.yaml:{line_of('colour', *texts)}: 'colour' of level GLB is not modelled and was left out",
        f"all.yaml:{line_of('wibble', *texts)}: 'wibble' of the files is not modelled and was left out",
    )


def test_mistakes_stand_once_and_at_their_lines():
    sizes, dense = "instance: {M: 8.5, N: 6, K: 4}", "instance: {M: 8, N: 6, K: 4, densities: {A: 2.5}}"
    written = "instance: {M: 8, N: 6, K: 4}"
    assert mistakes(PROBLEM.replace(written, sizes), ARCHITECTURE).splitlines()[-1] == "1 error"
    told = mistakes(PROBLEM.replace(written, dense), ARCHITECTURE)
    assert f"all.yaml:{line_of('densities', PROBLEM.replace(written, dense))}:47: error: workload.density.A" in told
    told = mistakes(PROBLEM, ARCHITECTURE.replace("class: regfile", "clas: regfile"))
    assert "component 'RF' has no 'class'" in told
    assert "1 error" in told


# --- problem ---------------------------------------------------------------------------------------------


def test_coefficients_and_default_shape():
    spec = convert("problem: {instance: {R: 3, S: 1, P: 4, Q: 1, C: 2, K: 2, N: 1, Wstride: 2}}", ARCHITECTURE)
    assert spec.workload.einsum == (
        "Outputs[N, K, Q, P] = Weights[C, K, R, S] * Inputs[N, C, R + 2*P, S + Q]"  # the second stride is 1
    )
    assert spec.workload.shape == {"R": 3, "S": 1, "P": 4, "Q": 1, "C": 2, "K": 2, "N": 1}


def test_negative_coefficient():
    text = PROBLEM.replace("[[[M]], [[K]]]", "[[[M], [K, back]]]").replace(
        "    data-spaces", "    coefficients: [{name: back, default: -1}]\n    data-spaces"
    )
    assert convert(text, ARCHITECTURE).workload.einsum.startswith("Z[M, N] = A[M - K]")


def test_instance_may_stand_in_the_problem_itself():
    text = PROBLEM.replace("  instance: {M: 8, N: 6, K: 4}", "  M: 8\n  N: 6\n  K: 4")
    assert convert(text, ARCHITECTURE).workload.shape == {"M": 8, "N": 6, "K": 4}


def test_densities():
    text = PROBLEM.replace(
        "K: 4}",
        "K: 4, densities: {A: 0.5, B: {distribution: hypergeometric, density: 0.25}, Z: {distribution: banded, band_width: 0}}}",
    )
    density = convert(text, ARCHITECTURE).workload.density
    assert (density["A"].model, density["A"].density) == ("even", 0.5)
    assert (density["B"].model, density["B"].density) == ("uniform", 0.25)
    assert (density["Z"].model, density["Z"].half_width) == ("banded", 0)
    common = convert(PROBLEM.replace("K: 4}", "K: 4, commonDensity: 0.3, densities: {A: 1}}"), ARCHITECTURE)
    assert {name: d.density for name, d in common.workload.density.items()} == {"A": 0.3, "B": 0.3, "Z": 0.3}


def test_given_data():
    text = PROBLEM.replace("K: 4}", "K: 4, densities: {A: {distribution: real-data, data_file_path: a.txt}}}")
    density = convert(text, ARCHITECTURE).workload.density["A"]
    assert (density.model, density.file, density.layout) == ("actual", "a.txt", "first_fastest")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("projection: [K, N]", "projection: [J, N]", "unknown dimension 'J'"),
        ("{M: 8, N: 6, K: 4}", "{M: 8, N: 6}", "dimension 'K' needs a size of at least 1"),
        ("projection: [K, N]", "projection: [[[K, stride]], N]", "unknown coefficient 'stride'"),
        (", read-write: true", "", "exactly one data space must be read-write, here 0 are"),
        ("K: 4}", "K: 4, densities: {A: {distribution: uniform}}}", "'uniform' of the paper is written hypergeometric"),
        ("K: 4}", "K: 4, densities: {A: {distribution: fixed}}}", "distribution 'fixed' needs a density"),
    ],
)
def test_mistakes_in_the_problem(old: str, new: str, message: str):
    assert message in mistakes(PROBLEM.replace(old, new), ARCHITECTURE)


# --- architecture ----------------------------------------------------------------------------------------


def test_ranges_multiply_down_the_tree():
    text = """
arch:
  subtree:
  - name: top[1..2]
    local: [{name: "L2[0..1]", class: SRAM, attributes: {entries: 8, meshX: 2}}]
    subtree:
    - name: PE[10..12]
      local:
      - {name: "L1[0..3]", class: smartbuffer_RF, attributes: {entries: 8, meshX: 12}}
      - {name: MAC, class: compute, attributes: {meshX: 6, meshY: 1}}
"""
    assert "no multiple of the mesh around it" in mistakes(PROBLEM, text)
    spec = convert(PROBLEM, text.replace("meshX: 6, meshY: 1", "instances: 24, meshX: 12"))
    fanouts = [x.fanout for x in spec.architecture.levels if isinstance(x, FanoutSpec)]
    assert fanouts == [{"x": 2, "y": 2}, {"x": 6, "y": 1}]
    assert [x.instances for x in resolve(spec).arch.levels] == [4, 24, 24]


def test_legacy_form():
    text = """
architecture:
  arithmetic: {instances: 4, meshX: 2, meshY: 2, word-bits: 8}
  storage:
  - {name: RF, class: regfile, entries: 16, instances: 4, meshX: 2, meshY: 2}
  - {name: DRAM, technology: DRAM, instances: 1}
"""
    spec = convert(PROBLEM, text)
    assert [x.name for x in spec.architecture.levels] == ["DRAM", "DRAM_fanout", "RF", "MAC"]
    assert level(spec, "DRAM").class_ == "dram"
    assert level(spec, "DRAM").reduction is False


@pytest.mark.parametrize(
    ("attributes", "block", "cluster", "words"),
    [
        ("word-bits: 8, width: 32, depth: 4", 4, 1, 16),
        ("word-bits: 8, width: 32, block-size: 2, depth: 4", 2, 2, 8),
        ("word-bits: 8, width: 32, cluster-size: 4, depth: 4", 1, 4, 4),
        ("word-bits: 8, width: 64, block-size: 2, cluster-size: 4, depth: 4", 2, 4, 8),
        ("word_width: 8, n_words: 2, sizeKB: 1", 2, 1, 1024),
        ("datawidth: 8, entries: 5", 1, 1, 5),
    ],
)
def test_block_cluster_and_capacity(attributes: str, block: int, cluster: int, words: int):
    text = ARCHITECTURE.replace("word-bits: 8, depth: 1024, width: 32, technology: 45nm", attributes + ", meshX: 8")
    spec = convert(PROBLEM, text.replace("GLB,", "'GLB[0..7]',").replace("meshX: 4", "meshX: 8"))
    found = level(spec, "GLB")
    assert (found.block_size, found.cluster_size) == (block, cluster)
    assert found.capacity is not None
    assert found.capacity.value == words


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("word-bits: 8, width: 20, depth: 4", "width 20 must be a multiple of"),
        ("word-bits: 8, width: 32, block-size: 2, cluster-size: 1, depth: 4", "width 32 must equal"),
        ("entries: 4, depth: 8", "entries, depth and sizeKB disagree: 4, 8 words"),
        ("entries: many", "expected a number, got 'many'"),
        ("entries: 8, cluster-size: 2", "'S' has 1 instances, no multiple of its cluster-size 2"),
        ("entries: 8, tile_partition_supported: true", "partitioning tiles at run time is not modelled"),
        ("entries: 8, metadata_storage_width: 9, metadata_datawidth: 4", "metadata_storage_width 9 must be a multiple"),
    ],
)
def test_mistakes_in_a_level(attributes: str, message: str):
    with pytest.raises(SpecError) as caught:
        storage(attributes)
    assert message in str(caught.value)


def test_metadata_storage():
    width = "metadata_storage_width: 32, metadata_datawidth: 4"
    sized = level(storage(f"entries: 64, {width}, metadata_storage_depth: 16"), "S").metadata
    assert (str(sized.capacity), sized.access_bits, sized.word_bits) == ("512 bits", 32, 4)
    none = level(storage(f"entries: 64, {width}"), "S").metadata
    assert str(none.capacity) == "0 bits"
    unlimited = level(storage(width, class_="DRAM"), "S").metadata
    assert unlimited.capacity is None


def test_attributes_of_a_level():
    spec = storage(
        "entries: 64, bandwidth: 8, shared_bandwidth: 4, multiple-buffering: 2, min-utilization: 0.5,"
        " decompression_supported: true, reduction_supported: false, vector-access-energy: 1.5, addr-gen-energy: 0.25,"
        " cluster-area: 100, type: LPDDR4"
    )
    found = level(spec, "S")
    assert [str(x) for x in (found.bandwidth.read, found.bandwidth.write, found.bandwidth.shared)] == ["4 words/cycle"] * 3
    assert (found.multiple_buffering, found.min_utilization, found.type) == (2.0, 0.5, "LPDDR4")
    assert (found.decompression, found.compression, found.reduction) == (True, False, False)
    assert found.energy == {"read": 1.5, "fill": 1.5, "update": 1.5, "address_generation": 0.25}
    assert found.area == 100


def test_overbooking():
    spec = storage("entries: 64, allow_overbooking: true")
    assert level(spec, "S").capacity_rule == "expected"
    assert "allow_overbooking" in spec.notes[0]
    limit = "mapspace_constraints: [{target: S, type: max_overbooked_proportion, proportion: 0.1}]"
    assert level(storage("entries: 64, allow_overbooking: true", more=limit), "S").capacity_rule == pytest.approx(0.9)


def test_variables():
    assert level(storage("entries: SIZE", more="variables: {SIZE: 12}"), "S").capacity is not None


# --- networks --------------------------------------------------------------------------------------------


def test_inferred_network():
    spec = storage(
        "entries: 64, router-energy: 1, wire-energy: 0.5, tile-width: 250, energy-per-ingress: 2, network-word-bits: 32,"
        " network_fill_latency: 3, network_drain_latency: 4, network-type: 'M:N'"
    )
    found = level(spec, "S").network
    assert found.name == "S <==> MAC"
    assert (found.router, found.wire_pj_per_bit_mm, found.tile_width, found.ingress) == (1, 0.5, 0.25, 2)
    assert (found.word_bits, found.fill_latency, found.drain_latency, found.forwarding) == (32, 3, 4, True)
    assert "M:N" in spec.notes[0]


EXPLICIT = """
architecture:
  subtree:
  - name: system
    local:
    - {name: DRAM, class: DRAM, attributes: {network_read: down, network_update: up, wire-energy: 9}}
    - {name: S, class: SRAM, attributes: {entries: 8, network_fill: down, network_drain: up}}
    - {name: down, class: XY_NoC, attributes: {datawidth: 32, wire-energy: 0.5, fill_latency: 2}}
    - {name: up, class: ReductionTree, attributes: {adder-energy: 0.1, wire-energy: 0.2}}
    - {name: MAC, class: mac}
"""


def test_explicit_networks():
    spec = convert(PROBLEM, EXPLICIT)
    found = level(spec, "DRAM").network
    assert (found.name, found.word_bits, found.wire_pj_per_bit_mm) == ("down / up", 32, 0.5)
    assert (found.adder, found.fill_latency, found.drain_latency) == (0.1, 2, 0)
    assert len(spec.notes) == 2
    assert "'wire_energy' of level 'DRAM' has no effect" in spec.notes[0]
    assert "results travel on 'up' (ReductionTree)" in spec.notes[1]
    assert "but 'S' has network_drain = down" in mistakes(PROBLEM, EXPLICIT.replace("network_drain: up", "network_drain: down"))


# --- mapping ---------------------------------------------------------------------------------------------


def test_factor_syntax_residuals_and_full_bounds():
    spec = convert(
        PROBLEM,
        ARCHITECTURE,
        """
mapping:
- {target: DRAM, type: temporal, factors: "M 2 # all of it", permutation: MNK}
- {target: GLB, type: temporal, factors: "M=4 N=2 K=0", permutation: "K"}
- {target: GLB, type: spatial, factors: "N3,2", permutation: NMK, split: 0}
""",
    )
    entries = {entry.target: entry for entry in spec.mapping}
    glb = [(x.rank, x.bound, x.residual) for x in entries["GLB"].loops]
    assert glb == [("N", 2, None), ("M", 4, None), ("K", 4, None)]  # missing ones outside, in dimension order
    assert [(x.rank, x.bound, x.residual, x.axis) for x in entries["GLB_fanout"].loops] == [("N", 3, 2, "y")]
    assert entries["RF"].loops == ()


def test_marks_and_indices_of_levels():
    spec = convert(
        PROBLEM,
        ARCHITECTURE,
        """
mapping:
- {target: 0, type: temporal, factors: M=8 N=6 K=4, no_temporal_reuse: [A]}
- {target: GLB, type: spatial, factors: M=1, no_multicast_no_reduction: [B], no_link_transfer: [A]}
""",
    )
    entries = {entry.target: entry for entry in spec.mapping}
    assert entries["RF"].no_temporal_reuse == ("A",)
    assert entries["GLB_fanout"].no_multicast == ("B",)
    assert entries["GLB_fanout"].no_forwarding == ("A",)


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("{target: L9, type: temporal}", "unknown level 'L9'"),
        ("{target: GLB, type: sideways}", "unknown mapping directive 'sideways'"),
        ("{target: GLB, type: temporal, factors: X=3}", "cannot read factors at 'X=3'"),
        ("{target: GLB, type: temporal, factors: M<=3}", "'M<=3' is a constraint"),
        ("{target: GLB, type: temporal, permutation: MXK}", "unknown dimension 'X' in permutation 'MXK'"),
        ("{target: RF, type: spatial, factors: M=2}", "spatial loops at 'RF', which has a single child"),
        ("{target: RF, type: bypass, keep: [Q]}", "unknown data space 'Q'"),
    ],
)
def test_mistakes_in_the_mapping(directive: str, message: str):
    assert message in mistakes(PROBLEM, ARCHITECTURE, f"mapping:\n- {directive}")


def test_skew_is_noted():
    assert "skew is not modelled" in convert(PROBLEM, ARCHITECTURE, "mapping: [{target: GLB, type: skew, modulo: 4}]").notes[0]


# --- flattening ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "stride", "expected"),
    [
        (2, 1, [("h", 2)]),
        (8, 2, [("h", 4), ("v", 2)]),
        (16, 1, [("h", 8), ("v", 2)]),
        (2, 8, [("v", 2)]),
        (3, 1, [("h", 3)]),
        (4, 3, None),
        (5, 2, None),
        (32, 1, None),
    ],
)
def test_pieces(bound: int, stride: int, expected: list[tuple[str, int]] | None):
    found = digit_loops(bound, stride, [("h", 8), ("v", 2)])
    assert found == expected
    if found is not None:  # the digits together run over the same values as the loop
        places = {"h": 1, "v": 8}
        values, low = {0}, stride
        for name, count in found:
            step = max(low, places[name])
            values = {v + i * step for v in values for i in range(count)}
            low = step * count
        assert values == {i * stride for i in range(bound)}


FLAT = """
problem:
  shape:
    dimensions: [H, V, C]
    flatten: [{name: X, dimensions: [H, V]}]
    data-spaces:
    - {name: I, projection: [C, H, V]}
    - {name: W, projection: [C]}
    - {name: O, projection: [H, V], read-write: true}
  instance: {H: 8, V: 2, C: 3}
"""


def test_flattened_loops_split():
    spec = convert(
        FLAT,
        ARCHITECTURE,
        "mapping: [{target: DRAM, type: temporal, factors: X=8 C=3}, {target: RF, type: temporal, factors: X=2}]",
    )
    assert [(x.rank, x.bound) for x in spec.mapping[0].loops] == [("C", 3), ("V", 2), ("H", 4)]
    assert [(x.rank, x.bound) for x in spec.mapping[-1].loops] == [("H", 2)]
    mapping = "mapping: [{target: DRAM, type: temporal, factors: X=2 C=3}, {target: RF, type: temporal, factors: X=8}]"
    assert [(x.rank, x.bound) for x in convert(FLAT, ARCHITECTURE, mapping).mapping[-1].loops] == [("H", 8)]


def test_uneven_flattened_loops_are_refused():
    mapping = "mapping: [{target: DRAM, type: temporal, factors: X=4 C=3}, {target: RF, type: temporal, factors: X=4}]"
    text = FLAT.replace("H: 8, V: 2", "H: 2, V: 8").replace("X=4", "X=4")
    assert [(x.rank, x.bound) for x in convert(text, ARCHITECTURE, mapping).mapping[-1].loops] == [("V", 2), ("H", 2)]
    uneven = FLAT.replace("H: 8, V: 2", "H: 6, V: 4")
    mapping = "mapping: [{target: DRAM, type: temporal, factors: X=6 C=3}, {target: RF, type: temporal, factors: X=4}]"
    assert "cuts the flattened dimensions H=6 x V=4 unevenly" in mistakes(uneven, ARCHITECTURE, mapping)
