"""The Python face: lazy names, cached designs, what `evaluate` accepts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from samples import DENSE, MATMUL

import sparseloop as sl


def test_public_names():
    assert set(sl.__all__) <= set(dir(sl))
    assert all(getattr(sl, name) is not None for name in sl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        sl.evalute  # noqa: B018


def test_the_function_stays_whatever_is_imported_first():
    code = "import sparseloop.evaluate, sparseloop as sl; assert callable(sl.evaluate); import sparseloop.api"
    subprocess.run([sys.executable, "-c", code], check=True)


def imported(code: str) -> set[str]:
    """Modules loaded by a program."""
    program = f"import sys; {code}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())


def test_import_is_light():
    loaded = imported("import sparseloop")
    assert not loaded & {"numpy", "pydantic", "ruamel.yaml", "rich", "typer", "typing", "sparseloop.spec"}


def test_evaluating_needs_no_edges():
    loaded = imported(f"import sparseloop as sl; sl.evaluate(sl.loads({MATMUL!r})).to_dict()")
    assert not loaded & {"rich", "typer", "matplotlib", "scipy", "sparseloop.report", "sparseloop.trace", "sparseloop.rows"}


def test_designs_are_resolved_once():
    spec = sl.loads(MATMUL)
    assert sl.design_of(spec) is sl.design_of(spec)
    assert sl.evaluate(spec).plan is sl.evaluate(spec).plan
    assert sl.design_of(sl.loads(MATMUL)) is not sl.design_of(spec)


def test_a_mapping_given():
    spec = sl.loads(MATMUL)
    mapping = sl.design_of(spec).mapping
    assert sl.evaluate(spec, mapping).to_dict() == sl.evaluate(spec).to_dict()
    changed = MATMUL.replace("- DRAM: for m=4", "- DRAM: for m=2").replace("RF: for m=2", "RF: for m=4")
    other = sl.design_of(sl.loads(changed)).mapping
    assert sl.evaluate(spec, other).energy_pj != sl.evaluate(spec).energy_pj


def test_what_cannot_be_evaluated():
    spec = sl.loads(DENSE.partition("mapping:")[0])
    with pytest.raises(sl.SpecError, match="no mapping to evaluate"):
        sl.evaluate(spec)
    with pytest.raises(TypeError, match="expected a Mapping"):
        sl.evaluate(sl.loads(MATMUL), 3)
    with pytest.raises(ValueError, match="keep is for a batch"):
        sl.evaluate(sl.loads(MATMUL), keep=("cycles",))


def test_a_path_is_not_a_specification() -> None:
    with pytest.raises(TypeError, match=r"sparseloop\.load"):
        sl.evaluate("spec.yaml")  # type: ignore[arg-type]
