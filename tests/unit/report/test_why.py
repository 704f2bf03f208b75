"""The model on traced values: no branch on data, equal numbers; formulas that mean what they say."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sparseloop as sl
from sparseloop.evaluation.tracing import Traced, traced_cost, value_of
from sparseloop.evaluation.tracing import traced_input as named
from sparseloop.model.pipeline import cost_of_design
from sparseloop.report.formulas import FormulaReader
from sparseloop.report.quantities import quantities, traced_names
from sparseloop.report.terms import formula_text, number_term, product_term, sum_term, symbol_term
from sparseloop.report.why import Explanation
from tests.helpers.samples import ALL, CONVOLUTION, MATMUL


@pytest.fixture(params=ALL, scope="module")
def design(request):
    return sl.design_of(sl.loads(ALL[request.param]))


def test_the_model_runs_on_traced_values(design):
    expected = quantities(*cost_of_design(design))
    cost = traced_cost(design, design.mapping)
    found = quantities(cost.plan, cost)
    assert expected.keys() == found.keys()
    for path, target in expected.items():
        assert value_of(found[path].value) == pytest.approx(target.value, rel=1e-12), path
        for plain, traced in zip(target.actions, found[path].actions, strict=True):
            assert (plain.action, plain.tensor) == (traced.action, traced.tensor)
            assert value_of(traced.count) == pytest.approx(plain.count, rel=1e-12)
    assert value_of(traced_cost(design, design.mapping).status) == cost_of_design(design)[1].status


def test_results_of_traced_values_are_traced(design):
    cost = traced_cost(design, design.mapping)
    for value in (cost.energy_pj, cost.cycles, cost.utilization, cost.status, cost.sparse.computes.actual):
        assert isinstance(value, Traced)


def test_formulas_have_the_values_of_the_model(design):
    cost = traced_cost(design, design.mapping)
    plan = cost.plan
    known = quantities(plan, cost)
    reader = FormulaReader(traced_names(plan, cost, known))
    for path, target in known.items():
        term = reader.shown(reader.formula(target.value))
        assert term.value == pytest.approx(float(value_of(target.value)), rel=1e-9, abs=1e-6), path


def test_every_number_can_be_explained(design):
    explanation = Explanation(design, design.mapping)
    for path in explanation.known:
        lines = explanation.why(path, width=100).splitlines()
        assert lines[0].startswith(f"{path} = ")
        assert len(lines) < 90
        assert all(len(line) <= 100 for line in lines if " × " in line)


# --- traced values ------------------------------------------------------------------------------------------


def test_no_branch_on_data():
    x = named(3, "x")
    for use in (bool, int, float, range, np.asarray, lambda v: [1, 2][v]):
        with pytest.raises(TypeError, match="the model"):
            use(x)
    with pytest.raises(TypeError, match="none of the model's few operations"):
        np.stack([x, x])
    with pytest.raises(TypeError, match=r"may not use numpy\.add\.reduce"):
        np.add.reduce(x)


@given(st.integers(-9, 9), st.integers(1, 9))
def test_operations_are_those_of_numbers(a, b):
    x, y = named(a, "x"), named(b, "y")
    for function in (
        lambda p, q: p + q * 2 - 1 / q,
        lambda p, q: (p // q, p % q, abs(p), -p, 2**q, q**2),
        lambda p, q: (p > q, p <= 2, q == 3, q != p, (p > 0) & (q > 1), (p > 0) | ~(q > 1) if isinstance(q, Traced) else None),
        lambda p, q: np.where(p > q, p, q),
        lambda p, q: (np.maximum(p, q), np.minimum(2.5, p), np.ceil(p / q), np.floor(p / q)),
        lambda p, q: np.float64(2.0) * p,
    ):
        expected, found = function(a, b), function(x, y)
        pairs = zip(expected, found, strict=True) if isinstance(found, tuple) else [(expected, found)]
        for plain, traced in pairs:
            assert plain is None or value_of(traced) == plain


# --- terms --------------------------------------------------------------------------------------------------

A, B, C = symbol_term("a", 3), symbol_term("b", 5), symbol_term("c", 7)


@pytest.mark.parametrize(
    ("term", "names_in", "numbers_in"),
    [
        (product_term([(1, A), (1, number_term(1)), (1, B)]), "a × b", "3 × 5"),
        (product_term([(1, A), (-1, B), (1, B)]), "a", "3"),
        (product_term([(1, A), (1, number_term(0)), (1, B)]), "0", "0"),
        (product_term([(1, A), (1, symbol_term("one", 1)), (1, number_term(0.125))]), "a / 8", "3 / 8"),
        (product_term([(1, number_term(2)), (1, product_term([(1, number_term(4)), (1, A)]))]), "8 × a", "8 × 3"),
        (sum_term([(1, A), (1, number_term(0)), (-1, B)]), "a − b", "3 − 5"),
        (sum_term([(1, A), (1, B), (-1, A)]), "b", "5"),
        (sum_term([(1, product_term([(1, A), (1, B)])), (-1, product_term([(1, A), (1, C)]))]), "a × (b − c)", "3 × (5 − 7)"),
        (sum_term([(1, A), (-1, product_term([(1, A), (1, B)]))]), "a × (1 − b)", "3 × (1 − 5)"),
        (sum_term([(1, A), (1, A)]), "2 × a", "2 × 3"),
        (sum_term([(-1, A)]), "−a", "−3"),
    ],
)
def test_terms(term, names_in, numbers_in):
    assert (formula_text(term), formula_text(term, numbers=True)) == (names_in, numbers_in)


def test_choices_are_made_and_extremes_cleaned():
    x, y, reader = named(3, "x"), named(5, "y"), FormulaReader({})
    assert formula_text(reader.formula(np.where(x > y, x, y * 2))) == "2 × y"
    assert formula_text(reader.formula(np.maximum(0, x - y))) == "0"
    assert formula_text(reader.formula(np.maximum(0, y - x))) == "y − x"
    assert formula_text(reader.formula(np.maximum(np.maximum(x, y), 0.0 * x))) == "max(x, y)"
    assert formula_text(reader.formula(np.minimum(x, y))) == "min(x, y)"
    assert formula_text(reader.formula(np.ceil(x / y - 1e-9))) == "ceil(x / y)"
    assert formula_text(reader.formula(abs(x - y))) == "y − x"


def test_large_formulas_are_folded_and_repeated_parts_named_once():
    variables = [named(i + 2, f"v{i}") for i in range(12)]
    part = variables[0] + variables[1] * variables[2]
    whole = part * part + variables[3] * np.ceil(part / variables[4])
    reader = FormulaReader({})
    shown = reader.shown(reader.formula(whole))
    assert formula_text(shown).count("x1") == 3
    assert "v1" not in formula_text(shown)
    large = math.prod(variables[:6], start=1) + math.prod(variables[6:], start=1)
    assert FormulaReader({}).shown(FormulaReader({}).formula(large)).leaves <= 10


# --- why ----------------------------------------------------------------------------------------------------


def test_a_count():
    shown = sl.why(sl.loads(MATMUL), "RF.Z.updates.gated")
    assert "RF.Z.updates.total × P(A non-zero) × P(B zero) = 262144 × 0.25 × 0.5 = 32768" in shown
    assert "P(A non-zero) = 0.25: A[1x1] has 1 word; A is uniform, density 0.25" in shown
    assert re.search(r"loops: .*k@RF 8", shown)


def test_a_tile_and_its_emptiness():
    spec = sl.loads(MATMUL)
    assert "GLB.A.tile = k@GLB × m@GLB:y × m@RF × k@RF = 8 × 8 × 2 × 8 = 1024" in sl.why(spec, "GLB.A.tile")
    shown = sl.why(spec, "GLB.A.metadata.reads.actual")
    assert "P(A[2x8] non-empty) = 0.990075: A[2x8] has 16 words = m@RF × k@RF" in shown
    assert "C(N-n, r) / C(N, r) with N = 4096, r = 1024" in " ".join(shown.split())


def test_all_classes_are_listed_without_a_class():
    shown = sl.why(sl.loads(MATMUL), "RF.Z.updates")
    assert "total 262144 · actual 32768 · gated 32768 · skipped 0 · absent 196608" in shown
    assert "no event falls in this class" in sl.why(sl.loads(MATMUL), "RF.Z.updates.skipped")


def test_an_energy_lists_actions_prices_and_sources():
    spec = sl.loads(MATMUL)
    shown = sl.why(spec, "GLB.A.energy")
    assert re.search(r"read A +8192 × 5\.\d+ pJ = +43\.\d nJ +\[1\]", shown) or "read A" in shown
    assert "prices from" in shown
    assert "CACTI" in shown
    whole = sl.why(spec, "energy")
    assert all(f"{level}.energy" in whole for level in ("DRAM", "GLB", "RF", "MAC"))


def test_an_area_lists_parts_and_sources():
    spec = sl.loads(MATMUL)
    shown, result = sl.why(spec, "RF.area"), sl.evaluate(spec)
    rf = result.plan.arch.levels[2]
    assert float(shown.split()[2]) == pytest.approx(64 * rf.area_um2, rel=1e-5)
    for part in rf.parts:
        assert re.search(rf"{re.escape(part.name)} +64 × {part.count:g} × [\d.]+ um2 = +[\d.]+ (u|m)m2  \[\d\]", shown), part.name
        assert part.area_source.split(";")[0][:40] in " ".join(shown.split())
    assert "ask for LEVEL.area" in sl.why(spec, "area")
    whole = sl.why(sl.loads(MATMUL + "reading: timeloop\n"), "RF.area")
    assert "[1] Timeloop default (no area table)" in whole


def test_cycles_name_the_levels():
    shown = sl.why(sl.loads(MATMUL), "cycles")
    assert "cycles = max(MAC.cycles, DRAM.cycles, GLB.cycles, RF.cycles)" in shown
    assert "RF shared bandwidth = 2 (given)" in shown


def test_networks_and_spelling_of_paths():
    spec = sl.loads(CONVOLUTION)
    assert sl.why(spec, "GLB<==>spad.words_down.I").startswith("GLB <==> spad.words_down.I = ")
    assert sl.why(spec, "DRAM.I.metadata_bits.reads.actual").startswith("DRAM.I.metadata.reads.actual = ")


def test_levels_tensors_and_loops_are_no_numbers():
    """They are named in formulas; what they have is listed."""
    with pytest.raises(sl.SpecError, match=r"one of its numbers\? GLB.A. with .*reads, .*fills"):
        sl.why(sl.loads(MATMUL), "GLB.A")
    with pytest.raises(sl.SpecError, match="the loop of m at GLB"):
        sl.why(sl.loads(MATMUL), "m@GLB")


def test_unknown_paths():
    spec = sl.loads(MATMUL)
    with pytest.raises(sl.SpecError, match=r"did you mean 'GLB\.B\.reads\.actual'\?"):
        sl.why(spec, "GLB.B.raeds.actual")
    with pytest.raises(sl.SpecError, match=r"LEVEL GLB: TENSOR A, B, Z"):
        sl.why(spec, "nonsense")


def test_another_mapping():
    design = sl.design_of(sl.loads(MATMUL))
    other = dataclasses.replace(design.mapping, bounds=(2, *design.mapping.bounds[1:]))
    shown = sl.why(sl.loads(MATMUL), "DRAM.A.tile", mapping=other)
    assert shown.startswith("DRAM.A.tile = 2048")


def test_shares_of_given_data_are_told_apart(tmp_path):
    for name, shape in (("A", (4, 6)), ("B", (6, 3))):
        np.savetxt(tmp_path / f"{name}.txt", np.arange(math.prod(shape)).reshape(shape) % 3, fmt="%d")
    file = tmp_path / "given.yaml"
    file.write_text("""
workload: {einsum: "Z[m,n] = A[m,k] * B[k,n]", shape: {m: 4, n: 3, k: 6}, density: {A: A.txt, B: B.txt}}
architecture: {levels: [{name: DRAM, class: dram}, {name: GLB, class: sram}, {name: MAC, class: mac}]}
mapping: [DRAM: for m=2 k=3, GLB: for m=2 n=3 k=2]
sparse: {DRAM: {formats: {A: csr, B: csr}}, GLB: {formats: {A: csr, B: csr}, skip: [A <- B, B <- A]}}
""")
    text = " ".join(sl.why(sl.load(file), "GLB.A.reads.skipped").split())
    words = "words of {} in the data".format
    assert f"share of non-empty {words('A')} − share of non-empty {words('A and words of B')}" in text


def test_a_large_pattern_is_derived_as_a_small_one_is(tmp_path):
    """From 2^20 elements on, what is not zero is listed; the lists are found behind traced answers, too."""
    np.save(tmp_path / "big.npy", np.random.default_rng(0).random((1024, 1024)) < 0.01)
    (tmp_path / "big.yaml").write_text("""\
workload:
  einsum: Z[m,n] = A[m,k] * B[k,n]
  shape: {m: 1024, n: 4, k: 1024}
  density: {A: {model: actual, file: big.npy}, B: 0.5}
architecture: {levels: [{name: DRAM, class: buffer}, {name: GLB, class: buffer}, {name: MAC, class: mac}]}
sparse: {DRAM: {formats: {A: CP(*)}}, GLB: {formats: {A: CP(*)}, skip: [B <- A]}}
mapping: [{DRAM: for m=32 k=16}, {GLB: for m=32 k=64 n=4}]
""")
    spec = sl.load(tmp_path / "big.yaml")
    nonzeros = np.load(tmp_path / "big.npy").sum()
    assert sl.why(spec, "GLB.B.reads.actual").startswith("GLB.B.reads.actual = ")
    assert sl.evaluate(spec).to_dict()["levels"][1]["tensors"]["B"]["reads"]["actual"] == 4 * nonzeros
