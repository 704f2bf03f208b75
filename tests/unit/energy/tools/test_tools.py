"""Other tools as estimators: asked by name only, in their units, skipped with a note where they are not there or fail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sparseloop as sl
from sparseloop.cli.app import app
from sparseloop.energy.estimators import Answer, Estimate, Query
from sparseloop.energy.tools import common
from sparseloop.input.accelergy import installed as accelergy
from sparseloop.input.diagnostics import SpecError
from sparseloop.input.resolve import estimator as backends
from sparseloop.input.yaml import files as yamlio
from tests.helpers.samples import MATMUL

SRAM = Query(
    class_name="sram",
    kind="storage",
    attributes={"word_bits": 16, "width_bits": 64, "depth": 1024, "capacity_bits": 65536, "banks": 2, "ports": 2, "cell": "hp"},
    node_nm=22,
    clock_hz=5e8,
)
MAC = Query(class_name="mac", kind="compute", attributes={"word_bits": 8})

HWCOMPONENTS = """
class ActionCost:
    def __init__(self, energy):
        self.energy = energy

class SRAM:
    area, leak_power = 2e-9, 3e-6          # m2, W
    def __init__(self, tech_node, width, depth, size, n_rw_ports=1, n_banks=1):
        assert size == width * depth and isinstance(width, int)
        self.scale = width * n_rw_ports * n_banks * tech_node / 22e-9
    @classmethod
    def get_action_names(cls):
        return ["read", "write"]
    def read(self):
        return ActionCost(self.scale * 1e-15)
    def write(self):
        return ActionCost(self.scale * 2e-15)

class IntMAC:
    area, leak_power = 4e-10, 0.0
    def __init__(self, tech_node, multiplier_width, adder_width):
        self.energy = multiplier_width * adder_width * 1e-15
    @classmethod
    def get_action_names(cls):
        return ["compute", "mac", "read"]
    def compute(self):
        return ActionCost(self.energy)

class DRAM(SRAM):
    area, leak_power = 0.0, 0.0
    def __init__(self, tech_node, width):
        self.scale = 8000 * width

MODELS = {"sram": (SRAM, "tech_node width depth size n_rw_ports n_banks"), "dram_lpddr4": (DRAM, "tech_node width"),
          "intmac": (IntMAC, "tech_node multiplier_width adder_width")}

def get_model(component_name, component_attributes, required_actions=(), models=None):
    if component_name.lower() not in MODELS:
        raise RuntimeError(f"Component {component_name} is not supported by any models.\\nmore")
    kind, names = MODELS[component_name.lower()]
    return kind(**{name: component_attributes[name] for name in names.split() if name in component_attributes})
"""
"""The part of the public functions of hwcomponents 1.0 that is used, with models of its shape."""

ACCELERGY = """#!{python}
import pathlib, sys
from ruamel.yaml import YAML
file, *options = sys.argv[1:]
assert options == "-o out -p 12 -f ERT ART ERT_summary ART_summary".split(), options
pathlib.Path("{log}").open("a").write("run\\n")
(tree,) = YAML(typ="safe").load(open(file))["architecture"]["subtree"]
(part,) = tree["local"]
if part["class"] not in ("SRAM", "DRAM", "intmac"):
    print("INFO: much\\nERROR\\nERROR: ===== An error has caused Accelergy to crash =====", file=sys.stderr)
    print("ERROR: no class " + part["class"], file=sys.stderr)
    sys.exit(1)
width, name = part["attributes"]["width"], tree["name"] + "." + part["name"]
actions = [dict(name=a, arguments={{}}, energy=width / 10) for a in part["required_actions"]]
actions.append(dict(name="leak", arguments={{}}, energy=tree["attributes"]["global_cycle_seconds"] * 1e9))
out = pathlib.Path("out")
out.mkdir()
yaml = YAML(typ="safe")
yaml.dump({{"ERT": {{"version": "0.4", "tables": [dict(name=name, actions=actions)]}}}}, out / "ERT.yaml")
yaml.dump({{"ART": {{"version": "0.4", "tables": [dict(name=name, area=7 * width)]}}}}, out / "ART.yaml")
plug_in = "{plug_in}"
summary = dict(name=name, actions=[dict(name="read", energy=1)], primitive_estimations=plug_in)
yaml.dump({{"ERT_summary": {{"version": "0.4", "table_summary": [summary]}}}}, out / "ERT_summary.yaml")
"""
"""A command that answers as Accelergy does: pJ, um2, leakage per cycle; errors among lines of its log."""


@pytest.fixture(autouse=True)
def _no_answers_of_others() -> Iterator[None]:
    """Runs are remembered; none from test to test, no module either."""
    accelergy._reply.cache_clear()
    yield
    accelergy._reply.cache_clear()
    sys.modules.pop("hwcomponents", None)


@pytest.fixture
def hwcomponents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "hwcomponents.py"
    file.write_text(HWCOMPONENTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _command(tmp_path, monkeypatch, "Cacti")


def _command(folder: Path, monkeypatch: pytest.MonkeyPatch, plug_in: str, text: str = ACCELERGY) -> Path:
    file = folder / "accelergy"
    file.write_text(text.format(python=sys.executable, log=folder / "runs", plug_in=plug_in))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return file


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tool is installed, whatever is on this machine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    find = accelergy.importlib.util.find_spec
    gone = ("hwcomponents", "accelergy")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None if name in gone else find(name, package))


def asking(name: str, text: str = MATMUL) -> sl.Spec:
    return sl.loads(f"{text}energy: {{estimator: {name}}}\n")


def sources(result: sl.Result) -> dict[str, str]:
    """Level and action to source."""
    return {f"{level['name']}.{a['action']}": a["source"] for level in result.to_dict()["levels"] for a in level["actions"]}


# --- on request only ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hwcomponents", "command")
def test_what_is_installed_changes_nothing_unless_it_is_named() -> None:
    result = sl.evaluate(sl.loads(MATMUL))
    assert not [source for source in sources(result).values() if source.startswith(("hwcomponents", "accelergy: "))]


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("name", ["hwcomponents", "accelergy"])
def test_what_is_missing_is_skipped_with_one_note(name: str) -> None:
    plain, result = sl.evaluate(sl.loads(MATMUL)), sl.evaluate(asking(name))
    (note,) = [warning for warning in result.warnings if name in warning]
    assert note.startswith(f"estimator '{name}' is skipped: ")
    assert result.energy_pj == plain.energy_pj
    assert [warning for warning in result.warnings if warning != note] == list(plain.warnings)


def test_unknown_names_know_the_tools() -> None:
    with pytest.raises(SpecError) as error:
        sl.evaluate(asking("hwcomponent"))
    assert "unknown estimator 'hwcomponent'" in str(error.value)
    assert "did you mean 'hwcomponents'?" in str(error.value)


@pytest.mark.usefixtures("hwcomponents")
def test_of_one_level_only() -> None:
    text = MATMUL.replace("{name: GLB, class: sram,", "{name: GLB, class: sram, estimator: hwcomponents,")
    told = sources(sl.evaluate(sl.loads(text)))
    assert told["GLB.read"].startswith("hwcomponents: ")
    assert told["MAC.compute"].startswith("builtin: ")


@pytest.mark.usefixtures("hwcomponents")
def test_a_level_may_ask_another_one() -> None:
    text = MATMUL.replace("{name: GLB, class: sram,", "{name: GLB, class: sram, estimator: builtin,")
    told = sources(sl.evaluate(asking("hwcomponents", text)))
    assert told["GLB.read"].startswith("builtin: ")
    assert told["MAC.compute"].startswith("hwcomponents: ")


@pytest.mark.usefixtures("hwcomponents")
def test_timeloops_rules_ask_nobody_and_say_so() -> None:
    result = sl.evaluate(asking("hwcomponents", MATMUL + "reading: timeloop\n"))
    assert [warning for warning in result.warnings if "estimator 'hwcomponents' is not asked" in warning]


# --- hwcomponents ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hwcomponents")
def test_units_and_names_of_hwcomponents() -> None:
    memory = backends.backends()["hwcomponents"].estimate(SRAM)
    assert memory is not None
    assert {name: e.value for name, e in memory.energy_pj.items()} == pytest.approx({"read": 0.256, "write": 0.512})
    assert memory.area_um2 is not None
    assert memory.leak_mw is not None
    assert (memory.area_um2.value, memory.leak_mw.value) == pytest.approx((2000, 3e-3))
    assert {e.confidence for e in (*memory.energy_pj.values(), memory.area_um2, memory.leak_mw)} == {0.8}
    mac = backends.backends()["hwcomponents"].estimate(MAC)
    assert mac is not None
    assert {name: e.value for name, e in mac.energy_pj.items()} == pytest.approx({"compute": 0.256})
    assert backends.backends()["hwcomponents"].estimate(replace(MAC, kind="unit", class_name="adder")) is None


@pytest.mark.usefixtures("hwcomponents")
def test_what_hwcomponents_does_not_know_is_priced_by_others_with_a_note() -> None:
    result = sl.evaluate(asking("hwcomponents"))
    told = sources(result)
    assert told["DRAM.read"] == "hwcomponents: DRAM of hwcomponents"
    assert told["RF.read"].startswith("builtin: ")
    (note,) = [warning for warning in result.warnings if warning.startswith("RF: ")]
    assert note == (
        "RF: estimator 'hwcomponents' failed for regfile: RuntimeError: Component regfile is not supported by any models."
    )


def test_one_that_cannot_be_imported_is_skipped(hwcomponents: Path) -> None:
    hwcomponents.write_text("raise ImportError('needs another Python')\n")
    result = sl.evaluate(asking("hwcomponents"))
    (note,) = [warning for warning in result.warnings if "hwcomponents" in warning]
    assert "cannot be imported: ImportError: needs another Python" in note


def test_of_a_long_log_only_the_errors_are_told(hwcomponents: Path) -> None:
    log = "Can not find a model\\n| SRAM:\\n|  | File x\\n|  | Exception: CACTI failed with exit code 1\\n|  | \\nWhy"
    hwcomponents.write_text(f"def get_model(*args):\n    raise RuntimeError('{log}')\n")
    with pytest.raises(RuntimeError, match=r"^Exception: CACTI failed with exit code 1$"):
        backends.backends()["hwcomponents"].estimate(SRAM)


def test_supply() -> None:
    answer = Answer(
        energy_pj={"read": Estimate(value=1, source="x", confidence=0.8)},
        area_um2=Estimate(value=1, source="x"),
        leak_mw=Estimate(value=1, source="x"),
    )
    assert common.at_supply(answer, SRAM) == answer
    low = common.at_supply(answer, replace(SRAM, node_nm=45, vdd=0.45))
    assert low.leak_mw is not None
    assert (low.energy_pj["read"].value, low.leak_mw.value) == pytest.approx((0.25, 0.5))
    assert low.energy_pj["read"].source == "x, times 0.25 for 0.45 V"
    assert low.area_um2 == answer.area_um2
    assert common.at_supply(answer, replace(SRAM, class_name="dram", vdd=0.45)) == answer


# --- accelergy ------------------------------------------------------------------------------------------------


def test_the_description_of_a_component() -> None:
    (tree,) = accelergy.description(SRAM)["architecture"]["subtree"]  # type: ignore[index]
    assert tree["attributes"] == {"technology": "22nm", "global_cycle_seconds": 2e-9}
    (part,) = tree["local"]
    assert part["class"] == "SRAM"
    assert part["required_actions"] == ["read", "write"]
    wanted = {"width": 64, "datawidth": 64, "depth": 1024, "n_banks": 2, "n_rw_ports": 2, "cell": "hp"}
    assert part["attributes"] == wanted
    data, _ = yamlio.load_text(yamlio.to_yaml(accelergy.description(SRAM)))
    assert data == accelergy.description(SRAM)


def test_a_dram_has_a_type() -> None:
    for given, asked in (({}, "LPDDR4"), ({"type": "HBM2"}, "HBM2")):
        query = replace(SRAM, class_name="dram", attributes={"width_bits": 64, **given})
        (tree,) = accelergy.description(query)["architecture"]["subtree"]  # type: ignore[index]
        (part,) = tree["local"]
        assert (part["class"], part["attributes"]["type"]) == ("DRAM", asked)


def test_floats_have_exponent_and_mantissa() -> None:
    (tree,) = accelergy.description(replace(MAC, class_name="fpmac", attributes={"word_bits": 32}))["architecture"]["subtree"]  # type: ignore[index]
    attributes = tree["local"][0]["attributes"]
    assert (attributes["exponent"], attributes["mantissa"]) == (8, 23)


@pytest.mark.usefixtures("command")
def test_units_of_accelergy() -> None:
    answer = backends.backends()["accelergy"].estimate(SRAM)
    assert answer is not None
    assert {name: e.value for name, e in answer.energy_pj.items()} == pytest.approx({"read": 6.4, "write": 6.4})
    assert answer.area_um2 is not None
    assert answer.leak_mw is not None
    assert answer.area_um2.value == pytest.approx(448)
    assert answer.leak_mw.value == pytest.approx(1)  # 2 pJ in a cycle of 2 ns
    assert answer.leak_mw == Estimate(value=answer.leak_mw.value, source="Cacti of the installed accelergy", confidence=0.7)


@pytest.mark.usefixtures("command")
def test_one_question_is_one_run(tmp_path: Path) -> None:
    for query in (SRAM, replace(SRAM), replace(SRAM, vdd=0.7), MAC):
        backends.backends()["accelergy"].estimate(query)
    assert (tmp_path / "runs").read_text().count("run") == 2


@pytest.mark.usefixtures("command")
def test_a_design_priced_by_accelergy() -> None:
    result = sl.evaluate(asking("accelergy"))
    told = sources(result)
    assert told["GLB.read"] == "accelergy: Cacti of the installed accelergy"
    assert told["MAC.compute"] == "accelergy: Cacti of the installed accelergy"
    assert told["RF.read"].startswith("builtin: ")
    (note,) = [warning for warning in result.warnings if warning.startswith("RF: ")]
    assert note.endswith("failed for regfile: RuntimeError: exit status 1: no class regfile")


def test_placeholders_are_no_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path, monkeypatch, "dummy_table")
    result = sl.evaluate(asking("accelergy"))
    assert sources(result)["GLB.read"].startswith("builtin: ")
    assert [w for w in result.warnings if "GLB: " in w and "only placeholder values (dummy_table)" in w]


WRITES = (
    "import pathlib\nout = pathlib.Path('out')\nout.mkdir()\nfor name in ('ERT', 'ART'):\n  (out / (name + '.yaml')).write_text"
)
BROKEN = {
    "import sys\nprint('boom: ' * 9, file=sys.stderr)\nsys.exit(3)": "exit status 3: boom: boom:",
    "pass": "it wrote no ERT.yaml and no ART.yaml",
    WRITES + "('[')": "its tables cannot be read: ",
    WRITES + "(name + ': {{version: 0.9, tables: []}}')": "unknown table version '0.9'",
}


@pytest.mark.parametrize("body", BROKEN)
def test_a_run_that_fails_is_a_note(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path, monkeypatch, "", "#!{python}\n" + body)
    plain, result = sl.evaluate(sl.loads(MATMUL)), sl.evaluate(asking("accelergy"))
    notes = [warning for warning in result.warnings if "estimator 'accelergy' failed for sram" in warning]
    assert [note for note in notes if BROKEN[body] in note]
    assert result.energy_pj == plain.energy_pj


def test_a_command_that_does_not_run_or_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _command(tmp_path, monkeypatch, "")
    file.write_text("no program")
    with pytest.raises(RuntimeError, match="cannot be run"):
        backends.backends()["accelergy"].estimate(SRAM)
    accelergy._reply.cache_clear()
    file.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(20)")
    monkeypatch.setattr(accelergy, "LONGEST_RUN_S", 0.3)
    with pytest.raises(RuntimeError, match=r"no answer after 0\.3 s"):
        backends.backends()["accelergy"].estimate(SRAM)


def test_a_package_without_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "accelergy").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert accelergy.command() is None  # a folder of this name is no package
    (tmp_path / "accelergy" / "__init__.py").write_text("")
    (tmp_path / "accelergy" / "accelergy_console.py").write_text("def main():\n    print('called')\n")
    called = accelergy.command()
    assert called is not None
    done = subprocess.run([*called, "x"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "called\n"


@pytest.mark.usefixtures("command")
def test_the_list_of_prices_names_it(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(MATMUL)
    done = CliRunner().invoke(app, ["energy", str(file), "--set", "energy.estimator=accelergy", "-f", "json"])
    assert done.exit_code == 0
    levels = {one["name"]: one for one in json.loads(done.stdout)["components"]}
    read = next(a for a in levels["GLB"]["actions"] if a["action"] == "read")
    assert read["energy_pj"] == pytest.approx(1.6)
    assert (read["source"], read["confidence"]) == ("accelergy: Cacti of the installed accelergy", 0.7)
