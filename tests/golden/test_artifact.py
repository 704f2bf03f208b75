"""Files of others under ../shared: everything loads, agrees where it should, and converts to native files of equal numbers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.load import load, loads
from sparseloop.input.write import import_files
from sparseloop.validation.timeloop.corpus import COMMITTED, read_cases
from tests.golden import artifact_table

SHARED = artifact_table.SHARED / "golden"
V04 = SHARED / "v04"
here = pytest.mark.skipif(not V04.exists(), reason=f"{V04} is not there: files of others are checked where they are")


def numbers(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a result with its path."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from numbers(value, f"{path}/{key}")
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from numbers(value, f"{path}/{value.get('name', i) if isinstance(value, dict) else i}")
    elif isinstance(data, int | float):
        yield path, float(data)


def figures(files: list[Path]) -> dict[str, float]:
    return dict(numbers(evaluate(load(*files)).to_dict()))


def written(folder: Path, inputs: dict[str, str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in inputs.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in inputs]


def same_after_import(files: list[Path], folder: Path) -> None:
    target = folder / "elsewhere" / "native.yaml"
    target.parent.mkdir(exist_ok=True)
    import_files(files, str(target))
    assert figures([target]) == pytest.approx(figures(files), rel=1e-12)


# --- import -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for i, case in enumerate(read_cases(COMMITTED)) if i % 40 == 0], ids=lambda case: case.id)
def test_import_keeps_every_number(case: Any, tmp_path: Path) -> None:
    same_after_import(written(tmp_path / "in", case.inputs), tmp_path)


# --- v0.4 ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exercises() -> dict[str, dict[str, str]]:
    with gzip.open(artifact_table.CORPUS, "rt", encoding="utf-8") as lines:
        cases = (json.loads(line) for line in lines if '"ex-' in line[:40])
        return {case["id"]: case["inputs"] for case in cases}


PROCESSED = sorted((V04 / "processed").iterdir()) if V04.exists() else []


def original_of(processed: Path) -> list[Path]:
    """The design as its users write it, with the mapping and tables of the processed one; [] if there is none."""
    name = processed.name.removeprefix("ex-").removeprefix("sparse-").removeprefix("design-")
    folder = next((f for f in (V04 / "originals" / name, V04 / "originals/sparseloop" / name) if f.exists()), None)
    if folder is None:
        return []
    problem = folder / "problem.yaml"
    files = [folder / "arch.yaml", problem if problem.exists() else V04 / "originals/_include/default_problem.yaml"]
    return [*files, processed / "map.yaml", processed / "ert.yaml", processed / "art.yaml"]


@here
@pytest.mark.parametrize("folder", PROCESSED, ids=lambda folder: folder.name)
def test_v04(folder: Path, exercises: dict[str, dict[str, str]], tmp_path: Path) -> None:
    files = sorted(folder.glob("*.yaml"))
    ours = figures(files)
    if twin := exercises.get(folder.name):  # a part of the corpus is kept back
        assert figures(written(tmp_path / "twin", twin)) == pytest.approx(ours, rel=1e-9)
    if original := original_of(folder):
        assert figures(original) == pytest.approx(ours, rel=1e-9)
    same_after_import(files, tmp_path)


@here
def test_originals_load_as_templates() -> None:
    pytest.importorskip("jinja2")
    root = V04 / "originals"
    designs = [path.parent.relative_to(root).as_posix() for path in root.rglob("arch.yaml")]
    for design in designs:
        spec = load(root / "top.yaml.jinja2", overrides=[f"jinja.architecture={design}"])
        assert spec.architecture.levels, design
        assert not any("arch.yaml" in note and "left out" in note for note in spec.notes), (design, spec.notes)


@here
def test_printed_nests_are_the_mappings_they_show(tmp_path: Path) -> None:
    """What Timeloop's mapper printed beside the mapping it found."""
    for best in json.loads((SHARED / "speed" / "best.json").read_text()):
        design = sorted((SHARED / "speed" / best["case"]).glob("*.yaml"))
        inputs = {"map.yaml": json.dumps({"mapping": best["mapping"]}), "best.map.txt": best["loop_nest"]}
        listed, shown = written(tmp_path, inputs)
        assert figures([*design, shown]) == figures([*design, listed])


# --- the artifact -------------------------------------------------------------------------------------------


@here
@pytest.mark.slow
@pytest.mark.parametrize("first", range(10))
def test_artifact_differs_only_where_it_should(first: int) -> None:
    """Every tenth case."""
    found = list(artifact_table.cases())
    assert len(found) == 142
    different = [one for case in found[first::10] for one in artifact_table.compared(case) if not one.equal]
    assert [f"{one.case} {one.figure}" for one in different if not one.reason] == []


@here
def test_a_mapping_alone_is_said_to_be_one() -> None:
    with gzip.open(artifact_table.ARTIFACT, "rt", encoding="utf-8") as lines:
        case = next(case for line in lines if len((case := json.loads(line))["inputs"]) == 1)
    with pytest.raises(SpecError, match="a mapping alone: it needs the problem and the architecture"):
        loads(next(iter(case["inputs"].values())))
