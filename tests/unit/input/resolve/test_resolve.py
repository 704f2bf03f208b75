"""Specifications to designs: conventions, and mistakes of meaning with their places."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseloop.input import load as loading
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.notation import parse_einsum
from sparseloop.input.resolve import mapping_lines, resolve, true_words, visited_points
from sparseloop.input.spec import LoopSpec, Spec
from sparseloop.input.yaml import files as yamlio
from sparseloop.model.density import Actual, Banded, Block, Even, Structured, Uniform
from sparseloop.model.design.einsum import Axis, Term
from tests.unit.input.test_load import BASE, EXAMPLE

MAPPED = (
    BASE
    + """\
mapping:
  - DRAM: for m=2 n=4
  - GLB: for k=2 | bypass Z
  - par: x k=2, y m=2
sparse:
  DRAM: {formats: {A: csr}}
  GLB: {formats: {A: csr}, skip: [B <- A]}
"""
)


def design(text, **changes):
    for old, new in changes.items():
        text = text.replace(old, new)
    return resolve(loading.loads(text))


def with_level(extra: str) -> str:
    return BASE.replace("{name: GLB, class: sram}", f"{{name: GLB, class: sram, {extra}}}")


def test_loops_are_ordered_by_level_temporal_first():
    text = BASE + "mapping:\n  - DRAM: for m=2 n=4\n  - GLB: x k=2, for k=2\n  - par: y m=2\n"
    mapping = design(text).mapping
    assert mapping
    assert [(loop.rank, loop.level, loop.axis) for loop in mapping.nest.loops] == [
        ("m", 0, None), ("n", 0, None), ("k", 1, None), ("k", 1, "x"), ("m", 1, "y"),
    ]  # fmt: skip
    assert mapping.bounds == (2, 4, 2, 2, 2)
    assert mapping.residuals is None


def test_keep_and_bypass():
    mapping = design(MAPPED).mapping
    assert mapping
    assert mapping.nest.keep == (frozenset("ABZ"), frozenset("AB"))
    text = MAPPED.replace("| bypass Z", "| keep A B | no_multicast A | no_temporal_reuse B Z")
    nest = resolve(loading.loads(text)).mapping.nest
    assert nest.keep[1] == frozenset("AB")
    assert nest.no_multicast == {(1, "A")}
    assert nest.no_temporal_reuse == {(1, "B"), (1, "Z")}


def test_no_mapping():
    assert design(BASE).mapping is None


def test_instances_and_sizes():
    text = """
workload: {einsum: "Z[m] = A[m,k] * B[k]", shape: {m: 4, k: 4}, word_bits: {A: 8, Z: 32}}
architecture:
  clock: 2 GHz
  levels:
    - {name: DRAM, class: dram, bandwidth: 16 GB/s, word_bits: 8}
    - {fanout: 4}
    - {name: GLB, class: sram, capacity: 1 KiB, multiple_buffering: 2, bandwidth: {read: 64 bits/cycle}, metadata: 32 words}
    - {fanout: {x: 2, y: 3}, name: a}
    - {fanout: {y: 2}, name: b}
    - {name: RF, class: regfile, capacity: 10 words, word_bits: 10, metadata: {access_bits: 0, word_bits: 4, capacity: 1 B}}
    - {name: MAC, class: mac}
"""
    arch = resolve(loading.loads(text)).arch
    dram, glb, rf, mac = arch.levels
    assert [(level.mesh_x, level.mesh_y, level.instances) for level in arch.levels] == [
        (1, 1, 1),
        (4, 1, 4),
        (8, 6, 48),
        (8, 6, 48),
    ]
    assert arch.fanout(1) == (2, 6)
    assert dram.shared_bandwidth == pytest.approx(8)
    assert (glb.word_bits, glb.capacity_words, glb.read_bandwidth, glb.write_bandwidth) == (32, 128, 2, None)
    assert (glb.metadata_capacity_bits, glb.metadata_access_bits, glb.metadata_word_bits) == (512, 32, 8)
    assert (rf.capacity_words, rf.metadata_capacity_bits, rf.metadata_access_bits, rf.metadata_word_bits) == (10, 8, 0, 4)
    assert mac.word_bits == 16
    assert (dram.reduction, glb.reduction) == (False, True)
    assert [level.network and level.network.name for level in arch.levels] == [
        "DRAM <==> GLB",
        "GLB <==> RF",
        "RF <==> MAC",
        None,
    ]


def test_word_width_of_the_widest_tensor():
    text = MAPPED.replace("density:", "word_bits: {A: 4, B: 8, Z: 32}, density:")
    assert [level.word_bits for level in resolve(loading.loads(text)).arch.levels] == [32, 32, 8]


def test_readings():
    native, literal = design(MAPPED), design(MAPPED + "reading: timeloop\n")
    assert isinstance(native.einsum.tensor("A").density, Uniform)
    assert isinstance(literal.einsum.tensor("A").density, Even)
    assert native.sparse.implied_skips
    assert not native.sparse.timeloop_reading
    assert literal.sparse.timeloop_reading
    assert not literal.sparse.implied_skips
    assert [d.sparse.safs[0].intersection for d in (native, literal)] == ["two_finger", "leader_follower"]
    assert [d.sparse.formats[0, "A"].automatic for d in (native, literal)] == [True, False]
    assert [d.arch.levels[0].network.forwarding for d in (native, literal)] == [False, True]


def test_formats():
    sparse = design(MAPPED.replace("{formats: {A: csr}}", "{formats: {A: coo, B: 'UOP(k;16) CP(n;4)'}}", 1)).sparse
    assert [(r.kind, r.groups) for r in sparse.formats[0, "A"].ranks] == [("CP", (("m", "k"),))]
    assert [(r.kind, r.metadata_bits, r.payload_bits) for r in sparse.formats[0, "B"].ranks] == [
        ("UOP", None, 16),
        ("CP", 4, None),
    ]


def test_options_are_numbered_apart():
    text = MAPPED.replace("skip: [B <- A]", "skip: [{options: [B <- A, B <- A & A]}], gate: [{options: [B <- A]}]")
    safs = resolve(loading.loads(text)).sparse.safs
    assert safs[0].choice == safs[1].choice
    assert safs[2].choice not in (None, safs[0].choice)


def test_densities(tmp_path):
    np.save(tmp_path / "z.npy", np.eye(4))
    text = BASE.replace(
        "density: {A: 0.5}",
        "density: {A: '2:4 k', B: {model: block, block: {n: 2}, density: 0.5}, Z: z.npy}",
    )
    (tmp_path / "spec.yaml").write_text(text)
    a, b, z = (tensor.density for tensor in resolve(loading.load(tmp_path / "spec.yaml")).einsum.tensors)
    assert isinstance(a, Structured)
    assert (a.n, a.m, a.axis) == (2, 4, 1)
    assert isinstance(b, Block)
    assert b.block_shape == (1, 2)
    assert isinstance(z, Actual)
    assert z.nonzeros == 4
    banded = design(BASE.replace("A: 0.5", "A: {model: banded, half_width: 1}")).einsum.tensor("A").density
    assert isinstance(banded, Banded)


def test_energy_tables(tmp_path):
    (tmp_path / "ert.yaml").write_text(
        "ERT: {version: 0.3, tables: [{name: 'system.GLB[1..2]', actions: [{name: read, arguments: {}, energy: 3.5}]}]}\n"
    )
    (tmp_path / "spec.yaml").write_text(BASE + "energy: {ert: ert.yaml, art: [{name: GLB, area: 7}]}\n")
    glb = resolve(loading.load(tmp_path / "spec.yaml")).arch.levels[1]
    assert glb.prices["read"].energy_pj == 3.5
    assert "ert.yaml:1" in glb.prices["read"].source
    assert glb.area_um2 == 7
    inline = design(BASE + "energy: {ert: [{name: GLB, actions: {read: 2 pJ, write: {energy: 1, source: mine}}}]}\n")
    assert inline.arch.levels[1].prices["read"].energy_pj == 2
    assert inline.arch.levels[1].prices["fill"].source.startswith("mine")
    assert design(with_level("energy: {read: 9}")).arch.levels[1].prices["read"].energy_pj == 9


def test_written_mappings_mean_the_same():
    for text in (MAPPED, EXAMPLE, MAPPED.replace("m=2 n=4", "m=2 n=4~4").replace("| bypass Z", "| bypass Z | no_multicast A B")):
        spec = loading.loads(text)
        first = resolve(spec)
        assert first.mapping
        changed = yamlio.rewritten(text, {"mapping": mapping_lines(first.mapping, spec)})
        assert resolve(loading.loads(changed)).mapping == first.mapping or "~" in text


MISTAKES = [
    # change, line, column, part of the message, part of the hint
    (("k: 4}", "q: 4}"), 1, 48, "shape lacks 'k'", None),
    (("k: 4}", "k: 4, q: 4}"), 1, 74, "unknown rank 'q'", "known: k, m, n"),
    (("{A: 0.5}", "{C: 0.5}"), 1, 85, "unknown tensor 'C'", "known: A, B, Z"),
    (("{A: 0.5}", "{A: {model: banded}}"), 1, 85, "needs half_width", None),
    (("{A: 0.5}", "{A: 2:4 n}"), 1, 92, "A has no rank 'n'", "known: k, m"),
    (("{A: 0.5}", "{A: {model: structured, n: 4, m: 2, rank: k}}"), 1, 96, "4:2", None),
    (("{A: 0.5}", "{A: none.npy}"), 1, 88, "No such file", None),
    (("- {name: MAC, class: mac}", "- {name: MAC, class: sram}"), 7, 26, "the last level must compute", "MAC"),
    (("{name: GLB, class: sram}", "{name: DRAM, class: sram}"), 5, 14, "defined twice", None),
    (("{name: GLB, class: sram}", "{name: GLB, class: mac}"), 5, 26, "only the last level computes", None),
    (("- DRAM: for m=2", "- DRAN: for m=2"), 9, 5, "unknown level or fanout 'DRAN'", "did you mean 'DRAM'?"),
    (("m=2 n=4", "m=2 w=1 n=4"), 9, 19, "unknown rank 'w'", "known"),
    (("m=2 n=4", "m=2 n=3"), 9, 19, "factors of rank n multiply to 3, but n is 4", "levels so far: DRAM 3 · GLB 1"),
    (("m=2 n=4", "m=2"), 8, 1, "rank n of size 4 has no loop", "add n=4"),
    (("m=2 n=4", "m=2 n=4~3"), 9, 19, "factors of rank n cover 3", None),
    (("m=2 n=4", "m=2 n=4~5"), 9, 19, "the last pass (5) is longer", None),
    (("for k=2 |", "for k=2 | keep A Q |"), 10, 27, "unknown tensor 'Q'", "known: A, B, Z"),
    (("bypass Z", "keep Z | bypass Z"), 10, 10, "Z is both kept and bypassed", None),
    (("n=4\n", "n=4 | keep A B\n"), 8, 1, "Z is bypassed at every level", None),
    (("par: x k=2, y", "par: k=2, y"), 11, 10, "along x or y?", "x k=2"),
    (("- GLB: for k=2", "- GLB: for k=1\n  - DRAM: for k=2"), 11, 5, "two entries", None),
    (("par: x", "spatial: x"), 11, 5, "unknown level or fanout 'spatial'", "here par"),
    (("par: x", "MAC: x"), 11, 5, "'MAC' computes", None),
    (("  DRAM: {formats: {A: csr}}", "  DRAM: {formats: {A: CP UOP}}"), 13, 26, "compressed rank CP stands outside", None),
    (("  DRAM: {formats: {A: csr}}", "  DRAM: {formats: {A: UOP(n) CP}}"), 13, 27, "A has no rank 'n'", None),
    (("  DRAM: {formats: {A: csr}}", "  DRAM: {formats: {A: U}}"), 14, 22, "compressed in GLB but not in DRAM", None),
    (("  DRAM: {formats: {A: csr}}", "  DRAN: {formats: {A: csr}}"), 13, 3, "unknown level 'DRAN'", "did you mean 'DRAM'?"),
    (("[B <- A]", "[B <- A, A <- B]"), 14, 48, "cannot skip A on B",
     "DRAM: {formats: {B: bitmask}}", ("{A: 0.5}", "{A: 0.5, B: 0.5}")),
    (("[B <- A]", "[Q <- A]"), 14, 35, "unknown tensor 'Q'", None),
    (("skip: [B <- A]", "gate: true"), 14, 28, "'gate: true' is for the compute level", None),
    (("  DRAM: {formats: {A: csr}}", "  MAC: {skip: [A <- B]}"), 13, 9, "'skip' of the compute level", "skip: true"),
    (("class: sram", "class: sram, metadata: 0"), 14, 22, "has no room for it", None),
    (("sparse:", "constraints: {GLBB: {}}\nsparse:"), 12, 15, "unknown level or fanout 'GLBB'", "did you mean 'GLB'?"),
    (("sparse:", "constraints: {GLB: {order: m ... z}}\nsparse:"), 12, 34, "unknown rank 'z'", None),
    (("sparse:", "energy: {ert: none.yaml}\nsparse:"), 12, 15, "there is no file none.yaml", None),
]  # fmt: skip


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[3])
def test_every_mistake_has_its_place(row):
    change, line, col, message, hint, *more = row
    text = MAPPED
    for old, new in (change, *more):
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(SpecError) as caught:
        resolve(loading.loads(text, name="s.yaml"))
    found = [d for d in caught.value.diagnostics if message in d.message]
    assert found, caught.value.render()
    assert found[0].span
    assert (found[0].span.line, found[0].span.col) == (line, col), caught.value.render()
    assert hint is None or hint in str(found[0].hint)


def test_many_mistakes_at_once_without_files():
    data, _ = yamlio.load_text(MAPPED.replace("n=4\n", "n=3\n").replace("A: 0.5", "Q: 0.5"))
    with pytest.raises(SpecError) as caught:
        resolve(Spec.model_validate(data))
    assert {d.path for d in caught.value.diagnostics} >= {("workload", "density", "Q"), ("mapping", 0)}
    assert caught.value.render().splitlines()[-1] == "2 errors"


def test_leaders_that_never_fire_need_no_metadata():
    text = MAPPED.replace("  DRAM: {formats: {A: csr}}\n", "").replace("formats: {A: csr}, ", "")
    with pytest.raises(SpecError, match="cannot skip B on A"):
        resolve(loading.loads(text))
    assert resolve(loading.loads(text.replace("{A: 0.5}", "{A: 1}"))).sparse.safs
    literal = resolve(loading.loads(text + "reading: timeloop\n"))
    assert any("no level has metadata" in warning for warning in literal.warnings)


def test_a_bypassed_tensor_may_have_a_format():
    text = MAPPED.replace("| bypass Z", "| bypass Z A")
    assert resolve(loading.loads(text)).warnings == resolve(loading.loads(MAPPED)).warnings


@given(
    st.lists(st.tuples(st.integers(-4, 4).filter(bool), st.integers(1, 7)), min_size=1, max_size=3),
    st.integers(-3, 3),
)
def test_words_touched_by_an_affine_index(terms, offset):
    extents = {f"d{i}": n for i, (_, n) in enumerate(terms)}
    axis = Axis(terms=tuple(Term(rank=f"d{i}", coefficient=c) for i, (c, _) in enumerate(terms)), offset=offset)
    points = itertools.product(*(range(n) for n in extents.values()))
    values = {sum(c * x for (c, _), x in zip(terms, point, strict=True)) for point in points}
    assert true_words((axis,), extents) == len(values)


def test_strides_leave_holes():
    text = BASE.replace("A[m,k]", "A[3*m+k]").replace("k: 4", "k: 2")
    density = design(text).einsum.tensor("A").density
    assert isinstance(density, Uniform)
    assert (density.shape, density.size) == ((11,), 8)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_imperfect_factors_cover_what_a_walk_visits(bounds, data):
    lasts = [data.draw(st.integers(1, b)) for b in bounds]
    visited = 0
    for point in itertools.product(*(range(b) for b in bounds)):
        at_end = True
        for x, b, last in zip(point, bounds, lasts, strict=True):
            if at_end and x >= last:
                break
            at_end = at_end and x == (last if at_end else b) - 1
        else:
            visited += 1
    loops = [LoopSpec(rank="d", bound=b, residual=last) for b, last in zip(bounds, lasts, strict=True)]
    assert visited_points(loops) == visited


def test_result_is_the_last_tensor():
    einsum = design(BASE).einsum
    assert [(t.name, t.output) for t in einsum.tensors] == [("A", False), ("B", False), ("Z", True)]
    assert parse_einsum("Z[m] = A[m]").tensors[0].name == "Z"


MERGE = """
workload: {einsum: "Z[m,n] = T[k,m,n]", shape: {m: 4, n: 4, k: 8}, density: {T: DENSITY}}
architecture: {levels: [{name: GLB, class: sram}, {name: MAC, class: mac}]}
sparse: {GLB: {formats: {T: "B(*)"}, skip: [Z <- T]}MORE}
mapping: [GLB: for m=4 n=4 k=8]
"""


@pytest.mark.parametrize(
    ("density", "more", "warned"),
    [("0.5", "", True), ("1", "", False), ("0.5", ", MAC: {skip: true}", False), ("0.5", ", GLB: {}", True)],
)
def test_a_skipped_result_that_saves_no_compute_is_a_warning(density: str, more: str, warned: bool) -> None:
    text = MERGE.replace("DENSITY", density).replace("MORE", "" if "GLB" in more else more)
    found = [w for w in resolve(loading.loads(text)).warnings if "computes with zeros of T still take their time" in w]
    assert bool(found) == warned
    assert all("MAC: {skip: true}" in w for w in found)


@pytest.mark.parametrize(("inner", "filled"), [(0.7, 6), (0.75, 6), (1, 8)])
def test_blocks_hold_whole_words_and_the_tensor_keeps_its_density(inner: float, filled: int) -> None:
    text = MERGE.replace("DENSITY", f"{{model: block, block: {{k: 8}}, density: 0.375, inner: {inner}}}").replace("MORE", "")
    found = resolve(loading.loads(text))
    block = found.einsum.tensor("T").density
    assert isinstance(block, Block)
    assert (block.filling, block.density) == (filled, 0.375)
    assert any("holds 6 non-zeros, 0.75 of it, not 0.7" in w for w in found.warnings) == (inner == 0.7)


@pytest.mark.parametrize(
    ("einsum", "formats", "density", "told"),
    [
        ("Z[p+r] = A[p] * B[r]", "Z: CP(*)", "A: 0.3", True),
        ("Z[p,p] = A[p,r]", "Z: CP(*)", "A: 0.3", False),
        ("Z[p+r] = A[p] * B[r]", "A: CP(*)", "A: 0.3", False),  # nobody asks where its zeros are
        ("Z[p+r] = A[p] * B[r]", "Z: CP(*)", "A: 0.3, Z: 0.5", False),
        ("Z[p] = A[p] * B[r]", "Z: CP(*)", "A: 0.3", False),
        ("Z[p+r] = A[p] * B[r]", "Z: CP(*)", "A: {model: uniform, density: 1}", False),
    ],
)
def test_a_result_taken_as_dense_is_told(einsum: str, formats: str, density: str, told: bool) -> None:
    text = f"""
workload: {{einsum: "{einsum}", shape: {{p: 4, r: 2}}, density: {{{density}}}}}
architecture: {{levels: [{{name: L0, class: buffer}}, {{name: MAC, class: mac}}]}}
sparse: {{L0: {{formats: {{{formats}}}}}}}
"""
    assert any("is taken as dense" in warning for warning in resolve(loading.loads(text)).warnings) == told
