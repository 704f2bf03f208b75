"""The public face on random specifications: traced evaluation, formulas, the result file, tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseloop.evaluation.evaluate import evaluate_mapping
from sparseloop.evaluation.result import Result
from sparseloop.evaluation.tracing import traced_cost, value_of
from sparseloop.model.density import Uniform
from sparseloop.model.design import Design
from sparseloop.report.formulas import FormulaReader
from sparseloop.report.quantities import quantities, traced_names
from sparseloop.report.tables import result_text
from tests.property.specs import Case, cases, imperfect_cases, option_cases

ANY = st.one_of(cases(), option_cases(), imperfect_cases())


def design_of(case: Case, fraction: float) -> Design:
    densities = {name: Uniform(case.data_shape(name), fraction) for name in case.problem.tensors}
    return Design(einsum=case.einsum(densities), arch=case.arch(), mapping=case.mapping, sparse=case.sparse)


@settings(max_examples=40, deadline=None)
@given(ANY, st.floats(0.05, 1))
def test_traced_evaluation_and_formulas(case: Case, fraction: float) -> None:
    design = design_of(case, fraction)
    result = evaluate_mapping(design, design.mapping)
    cost = traced_cost(design, design.mapping)
    plan = cost.plan
    expected, found = quantities(result.plan, result.cost), quantities(plan, cost)
    assert expected.keys() == found.keys()
    reader = FormulaReader(traced_names(plan, cost, found))
    for path, target in expected.items():
        value = float(target.value)
        assert float(value_of(found[path].value)) == pytest.approx(value, rel=1e-12, abs=1e-12), path
        assert reader.shown(reader.formula(found[path].value)).value == pytest.approx(value, rel=1e-6, abs=1e-6), path


@settings(max_examples=40, deadline=None)
@given(ANY, st.floats(0.05, 1))
def test_results_and_tables(case: Case, fraction: float) -> None:
    design = design_of(case, fraction)
    result: Result = evaluate_mapping(design, design.mapping)
    record = result.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert result.valid == (not result.reasons)
    for level in record["levels"]:
        for tensor in level.get("tensors", {}).values():
            for counts in (*(tensor[a] for a in ("reads", "fills", "updates")), *tensor["metadata_bits"].values()):
                classes = [counts[name] for name in ("actual", "gated", "skipped", "absent")]
                assert sum(classes) == pytest.approx(counts["total"], rel=1e-9, abs=1e-9)
                assert np.min(classes) >= -1e-9 * counts["total"]
    assert all(len(line) <= 100 for line in result_text(result, width=100).splitlines())
