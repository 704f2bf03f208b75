"""Estimators: who is asked, whose answer counts, what happens when one fails, and a package that brings its own."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.energy.estimators import GROUP, Answer, Estimate, Query, choice, constants, offer, registry, scaling
from sparseloop.energy.estimators.builtin import UNIT_MODELS
from sparseloop.energy.estimators.choice import Registry
from sparseloop.input.diagnostics import SpecError
from tests.helpers.samples import MATMUL

PLUGIN = Path(__file__).parents[3] / "plugin"
SRAM = Query(class_name="sram", kind="storage", attributes={"capacity_bits": 1 << 18, "width_bits": 64, "depth": 4096})


@dataclass(frozen=True)
class Fixed:
    """Says the same to every question."""

    name: str
    confidence: float = 0.8
    priority: float = 0.0
    value: object = 1.0
    action: str = "read"

    def estimate(self, query: Query) -> Answer | None:
        if isinstance(self.value, Exception):
            raise self.value
        if self.value is None:
            return None
        return Answer(energy_pj={self.action: Estimate(value=self.value, source="test", confidence=self.confidence)})  # type: ignore[arg-type]


def source(*estimators: Fixed, wanted: str | None = None) -> str:
    among = Registry(estimators=(*estimators, *registry().estimators))
    return offer(SRAM, wanted=wanted, among=among).answer.energy_pj["read"].source.partition(":")[0]


# --- choice ---------------------------------------------------------------------------------------------------


def test_the_surest_counts() -> None:
    assert source() == "builtin"
    assert source(Fixed("a"), Fixed("b", 0.9)) == "b"
    assert source(Fixed("a", 0.1)) == "builtin"


def test_ties_go_by_priority_then_name() -> None:
    assert source(Fixed("a"), Fixed("b", priority=1)) == "b"
    assert source(Fixed("b"), Fixed("a")) == "a"


def test_the_one_asked_for_comes_first() -> None:
    assert source(Fixed("a", 0.1), wanted="a") == "a"
    assert source(Fixed("a", value=None), wanted="a") == "builtin"


def test_what_one_leaves_out_another_says() -> None:
    both = offer(SRAM, among=Registry(estimators=(Fixed("a"), *registry().estimators))).answer
    assert both.energy_pj["read"].source.startswith("a:")
    assert both.energy_pj["write"].source.startswith("builtin:")
    assert both.area_um2 is not None


BAD = {
    "ZeroDivisionError: division": ZeroDivisionError("division\nby zero"),
    "read is -1, no number from 0": -1,
    "read is nan, no number from 0": math.nan,
    "read is '3', no number from 0": "3",
}


@pytest.mark.parametrize("message", BAD)
def test_one_that_fails_is_passed_over_with_a_note(message: str) -> None:
    found = offer(SRAM, wanted="bad", among=Registry(estimators=(Fixed("bad", value=BAD[message]), *registry().estimators)))
    assert found.answer.energy_pj["read"].source.startswith("builtin:")
    (note,) = found.notes
    assert "estimator 'bad' failed for sram" in note
    assert message in note
    assert "\n" not in note


def test_answers_of_the_wrong_kind() -> None:
    for answer, message in ((3, "returned int"), (Answer(energy_pj={"read": 3}), "read is no Estimate")):  # type: ignore[dict-item]
        with pytest.raises(ValueError, match=message):
            choice.checked(answer)
    with pytest.raises(ValueError, match="confidence of read is 2"):
        choice.checked(Answer(energy_pj={"read": Estimate(value=1, source="x", confidence=2)}))


def test_an_unknown_name_is_a_mistake_with_its_place() -> None:
    text = MATMUL.replace("class: sram,", "class: sram, estimator: buildin,")
    with pytest.raises(SpecError) as error:
        sl.evaluate(sl.loads(text))
    shown, line = str(error.value), text.splitlines()[8]
    assert f"<text>:9:{line.index('buildin') + 1}: " in shown
    assert "unknown estimator 'buildin'" in shown
    assert "did you mean 'builtin'?" in shown


# --- plug-ins -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, installed by pip."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", folder / "site", folder / "source"], check=True, capture_output=True, timeout=120)
    return folder / "site"


FOUNDRY = MATMUL.replace("node: 45nm", "node: 28nm").replace("class: sram", "class: compiled_sram")


def test_an_installed_package_prices_its_classes(installed: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(FOUNDRY, encoding="utf-8")
    run = f"import sys; sys.path.insert(0, {str(installed)!r}); from sparseloop.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", run, "eval", spec, "-f", "json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    glb = json.loads(done.stdout)["levels"][1]
    read = next(a for a in glb["actions"] if a["action"] == "read")
    assert read["source"] == "foundry: sheet, page 3"
    assert read["confidence"] == 0.9
    assert read["energy_pj_each"] == pytest.approx(0.9 * 16**0.5 * 16 / 32)
    assert glb["parts"][0]["source"] == "foundry: sheet, page 4"


def test_it_falls_through_with_a_note(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    choice.registry.cache_clear()
    try:
        assert registry().names == ("builtin", "foundry")
        result = sl.evaluate(sl.loads(FOUNDRY.replace("16 KiB", "1 MiB")))
        assert (
            "GLB: estimator 'foundry' failed for compiled_sram: ValueError: compiled for 1 to 256 KB, not 1024" in result.warnings
        )
        assert result.plan.arch.levels[1].prices["read"].source.startswith("builtin:")
    finally:
        choice.registry.cache_clear()


def test_one_that_is_asked_and_knows_nothing_is_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    choice.registry.cache_clear()
    try:
        text = MATMUL.replace("class: sram,", "class: sram, estimator: foundry,")
        assert "GLB: estimator 'foundry' has no answer for sram" in sl.evaluate(sl.loads(text)).warnings
    finally:
        choice.registry.cache_clear()


def test_the_example_is_short() -> None:
    assert len((PLUGIN / "example_estimator.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_packages_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {"none": "json:dumps", "gone": "no_such_module:X", "twice": "sparseloop.energy.estimators.builtin:Builtin"}
    listed = [metadata.EntryPoint(name=name, value=value, group=GROUP) for name, value in points.items()]
    monkeypatch.setattr(choice.metadata, "entry_points", lambda group: listed)
    choice.registry.cache_clear()
    try:
        assert registry().names == ("builtin",)
        gone, none, twice = registry().notes
    finally:
        monkeypatch.undo()
        choice.registry.cache_clear()
    assert "estimator 'gone' (no_such_module:X) cannot be loaded: ModuleNotFoundError" in gone
    assert "estimator 'none' (json:dumps) is none: it needs name, priority and estimate(query)" in none
    assert "another one of the name 'builtin'" in twice


# --- the built-in one -----------------------------------------------------------------------------------------


def test_every_constant_has_a_source() -> None:
    assert len(constants.constants()) > 80
    for key, one in constants.constants().items():
        assert one.citation, key
        assert 0 < one.confidence <= 0.6, key
        if "recalled" in one.citation:
            assert one.confidence <= 0.3, key
    for row in constants.rows("scaling.csv"):
        assert row["citation"]
        assert 0 < float(row["confidence"]) <= 0.6


def test_every_unit_answers_and_grows_with_its_width() -> None:
    for class_name in UNIT_MODELS:
        for style in ("coordinate", "bitmask", "skip_to"):
            for form in ("RLE", "CP", "B", "UB", "UOP"):
                known = {"style": style, "format": form}
                small, large = (
                    offer(Query(class_name=class_name, kind="unit", attributes={**known, "bits": bits})).answer
                    for bits in (8, 16)
                )
                for action, energy in small.energy_pj.items():
                    assert 0 < energy.value < large.energy_pj[action].value, (class_name, action)
                    assert energy.source.startswith("builtin: ")
                assert small.energy_pj


def unit(class_name: str, action: str, *, node: float = 40, **attributes: float | str) -> float:
    return offer(Query(class_name=class_name, kind="unit", attributes=attributes, node_nm=node)).answer.energy_pj[action].value


PUBLISHED = [
    ("adder", "add", 45, {"bits": 8}, 0.03),
    ("adder", "add", 45, {"bits": 32}, 0.1),
    ("multiplier", "multiply", 45, {"bits": 8}, 0.2),
    ("multiplier", "multiply", 45, {"bits": 32}, 3.1),
    ("fpadder", "add", 45, {"bits": 16}, 0.4),
    ("fpadder", "add", 45, {"bits": 32}, 0.9),
    ("fpmultiplier", "multiply", 45, {"bits": 16}, 1.1),
    ("fpmultiplier", "multiply", 45, {"bits": 32}, 3.7),
    ("multiplier", "multiply", 40, {"bits": 32, "library": "aladdin"}, 12.68),
    ("fpadder", "add", 40, {"bits": 32, "library": "aladdin"}, 16.68),
    ("comparator", "compare", 40, {"bits": 32}, 0.02947),
    ("counter", "count", 40, {"bits": 32}, 0.2507),
    ("shifter", "shift", 40, {"bits": 32}, 0.417),
    ("bitwise", "operate", 40, {"bits": 32}, 0.0181),
    ("crossbar", "transfer", 40, {"bits": 32}, 0.68),
    ("intersection", "intersect", 40, {"bits": 32}, 0.61),
    ("intersection", "skip_to", 40, {"bits": 8, "style": "skip_to"}, 0.31),
    ("router", "transfer", 32, {"bits": 256}, 20.74),
    ("wire", "transfer", 45, {}, 0.1215),
]


@pytest.mark.parametrize(("class_name", "action", "node", "attributes", "published"), PUBLISHED)
def test_published_numbers(
    class_name: str, action: str, node: float, attributes: dict[str, float | str], published: float
) -> None:
    assert unit(class_name, action, node=node, **attributes) == pytest.approx(published, rel=0.06)


@pytest.mark.parametrize(("kind", "per_bit"), [("LPDDR4", 8), ("HBM2", 3.9), ("HBM-2", 3.9), ("ddr3", 70), ("FGDRAM", 1.95)])
def test_dram(kind: str, per_bit: float) -> None:
    answer = offer(Query(class_name="dram", kind="storage", attributes={"type": kind, "width_bits": 64})).answer
    assert answer.energy_pj["read"].value == pytest.approx(64 * per_bit)
    assert answer.leak_mw is not None
    assert (answer.leak_mw.value, answer.leak_mw.confidence) == (0.0, 0.1)


# --- scaling --------------------------------------------------------------------------------------------------


def test_factors_pass_through_their_tables() -> None:
    for quantity, points in scaling.scaling_tables().items():
        for node, value in points:
            assert scaling.factor(quantity, node) == pytest.approx(value)


def test_between_nodes_factors_lie_between() -> None:
    for quantity, points in scaling.scaling_tables().items():
        for (low, a), (high, b) in pairwise(points):
            between = scaling.factor(quantity, math.sqrt(low * high))
            assert between == pytest.approx(math.sqrt(a * b)), quantity


def test_dynamic_energy_goes_with_the_square_of_the_supply() -> None:
    nominal = Query(class_name="adder", kind="unit", attributes={"bits": 32})
    low = Query(class_name="adder", kind="unit", attributes={"bits": 32}, vdd=0.45)
    ratio = offer(low).answer.energy_pj["add"].value / offer(nominal).answer.energy_pj["add"].value
    assert ratio == pytest.approx(0.25)


def test_what_is_extrapolated_says_so_and_is_less_sure() -> None:
    inside, outside = (offer(replace(SRAM, node_nm=node)).answer.energy_pj["read"] for node in (90, 180))
    assert "extrapolated" not in inside.source
    assert outside.source.endswith("(extrapolated from 90 to 180 nm)")
    assert outside.confidence == pytest.approx(0.7 * inside.confidence)
    assert outside.value == pytest.approx(4 * inside.value)
    area = offer(replace(SRAM, node_nm=11)).answer.area_um2
    assert area is not None
    assert area.source.endswith("(extrapolated from 22 to 11 nm)")
    far = offer(replace(SRAM, vdd=0.4)).answer
    assert far.energy_pj["read"].source.endswith("(scaled from 0.9 to 0.4 V)")
    assert far.energy_pj["read"].confidence < offer(replace(SRAM, vdd=0.8)).answer.energy_pj["read"].confidence


def test_nodes_and_supplies_out_of_reach_are_told_once() -> None:
    text = MATMUL.replace("node: 45nm", "node: 180nm")
    (note,) = [warning for warning in sl.evaluate(sl.loads(text)).warnings if "180" in warning]
    assert note == "180 nm is outside the tables (7 to 130 nm): extrapolated prices at DRAM, GLB, RF, MAC"
    text = MATMUL.replace("node: 45nm", "node: 45nm\n  vdd: 2")
    (note,) = [warning for warning in sl.evaluate(sl.loads(text)).warnings if "2 V" in warning]
    assert note.startswith("2 V is far from the nominal supply of 45 nm")
    for ordinary in ("node: 7nm", "node: 130nm", "node: 45nm\n  vdd: 0.8"):
        assert not [
            w for w in sl.evaluate(sl.loads(MATMUL.replace("node: 45nm", ordinary))).warnings if "outside" in w or "far" in w
        ]


def test_attributes_that_nobody_knows() -> None:
    def glb(attributes: str) -> sl.Spec:
        return sl.loads(MATMUL.replace("class: sram,", f"class: sram, attributes: {attributes},"))

    (note,) = [warning for warning in sl.evaluate(glb("{prots: 2}")).warnings if "prots" in warning]
    assert note == "GLB: no estimator knows the attribute 'prots': did you mean 'ports'?"
    with pytest.raises(SpecError) as error:
        sl.evaluate(glb("{ports: 7, cell: fast, library: aladin, bits: wide}"))
    shown = str(error.value)
    assert shown.count("<text>:9:") == 4
    for message in ("unknown ports 7", "known: 1, 2, 3, 4", "unknown cell 'fast'", "unknown library 'aladin'", "not 'wide'"):
        assert message in shown
    assert sl.evaluate(glb("{ports: 2, cell: HP}")).energy_pj > 0


def test_attributes_are_the_business_of_other_estimators(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    choice.registry.cache_clear()
    try:
        text = MATMUL.replace("class: sram,", "class: sram, attributes: {mux: 4},")
        assert not [warning for warning in sl.evaluate(sl.loads(text)).warnings if "mux" in warning]
    finally:
        choice.registry.cache_clear()


@pytest.mark.parametrize(("node", "published"), [(90, 3.16), (65, 1.65), (32, 0.60), (16, 0.14), (7, 0.064)])
def test_logic_at_nominal_supplies(node: float, published: float) -> None:
    assert unit("adder", "add", node=node, bits=32) / unit("adder", "add", node=45, bits=32) == pytest.approx(published)
    assert unit("adder", "add", node=130, bits=32) > unit("adder", "add", node=90, bits=32)
