"""Compounds of others under ../shared: our tables are those that Accelergy made, as far as prices of primitives are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from sparseloop.input.accelergy import read_ert, write_ert
from sparseloop.input.accelergy.compound import Expanded
from sparseloop.input.accelergy.ert import expanded
from sparseloop.input.yaml import files as yamlio
from tests.golden import accelergy_parity as parity

V03 = sorted(path.name for path in parity.V03.iterdir()) if parity.V03.exists() else []
V04 = sorted(path.name for path in parity.V04.iterdir()) if parity.V04.exists() else []
here = pytest.mark.skipif(not V03, reason=f"{parity.V03} is not there: files of others are checked where they are")
also = pytest.mark.skipif(not V04, reason=f"{parity.V04} is not there: files of others are checked where they are")

NOT_COMPUTED = {"fig12": 8, "table7": 4}
"""Rows that a summary says nothing of: the middle two of four argument combinations of an SRAM's read and write, and
in fig12 the four of a class (DummyStorage) that no file defines."""


@here
@pytest.mark.parametrize("name", V03)
def test_own_totals(name: str) -> None:
    design = next(one for one in parity.designs_v03() if one.name == name)
    found = parity.own_summary(design)
    assert found.differences == ()
    assert found.computed == found.rows - NOT_COMPUTED.get(name, 0)
    assert found.equal_areas == found.areas
    assert name == "fig13" or design.summaries  # fig13 came without: its own tables are solved instead


@here
def test_rows_follow_from_the_tables_of_other_designs() -> None:
    designs = parity.distinct(parity.designs_v03())
    found = [parity.by_others(design, designs, parity.published_primitives("0.3")) for design in designs]
    assert [one.differences for one in found] == [()] * len(designs)
    assert (sum(one.equal for one in found), sum(one.equal_areas for one in found)) == (90, 7)


@also
def test_the_exercises_of_v04() -> None:
    designs = parity.designs_v04()
    own = [parity.own_summary(design) for design in designs]
    assert [one.differences for one in own] == [()] * len(designs)
    assert (sum(one.equal for one in own), sum(one.rows for one in own)) == (432, 432)
    assert sum(one.equal_areas for one in own) == sum(one.areas for one in own) == 123


@also
def test_rows_of_v04_follow_from_the_tables_of_other_designs() -> None:
    designs = parity.designs_v04()
    found = [parity.by_others(design, designs, parity.published_primitives("0.4")) for design in designs]
    assert [one.differences for one in found] == [()] * len(designs)
    assert (sum(one.equal for one in found), sum(one.equal_areas for one in found)) == (245, 62)


def attributes(components: Iterable[Expanded]) -> dict[tuple[str, str], dict[str, object]]:
    """Component and subcomponent to the attributes of the primitive, but for ports: an older default is in those files."""
    return {
        (c.name, term.label): {k: v for k, v in term.primitive.attributes.items() if k != "n_rdwr_ports"}
        for c in components
        for term in c.areas
        if c.compound
    }


@here
@pytest.mark.parametrize("name", [name for name in V03 if name not in (*parity.STALE, "fig12", "fig13")])
def test_the_flattened_architecture_is_accelergys(name: str) -> None:
    """Made from the tree or from Accelergy's flattened file: the same components, asking for the same primitives."""
    folder = parity.V03 / name
    flat, _ = expanded(*yamlio.load_files([folder / "flattened_architecture.yaml", *folder.glob("*components.yaml")]))
    tree = next(one for one in parity.designs_v03() if one.name == name).components
    assert attributes(tree) == attributes(flat)


@here
@pytest.mark.parametrize("name", V03)
def test_published_tables_survive_writing(name: str, tmp_path: Path) -> None:
    published = read_ert([parity.V03 / name / "ERT.yaml", parity.V03 / name / "ART.yaml"])
    for version in ("0.3", "0.4"):
        write_ert(published, tmp_path / "t.yaml", version)
        again = read_ert([tmp_path / "t.yaml"])
        assert [(row.key, row.energy_pj) for row in again.rows] == [(row.key, row.energy_pj) for row in published.rows]
        assert [(a.component, a.area_um2) for a in again.areas] == [(a.component, a.area_um2) for a in published.areas]


@here
@pytest.mark.parametrize("name", V03)
def test_the_built_in_estimates_price_nearly_everything(name: str) -> None:
    """The differences themselves are listed by `python -m tests.golden.accelergy_parity --differences`."""
    design = next(one for one in parity.designs_v03() if one.name == name)
    found, _ = parity.by_default(design)
    assert found.computed == found.rows - (4 if name == "fig12" else 0)
