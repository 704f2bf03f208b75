"""Import of Timeloop's YAML (v0.2 to v0.4, hyphens or underscores, several files merged)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..errors import Locator, SpecError, dotted
from ..spec import Spec
from .architecture import Chain, read_architecture
from .constraints import read_constraints
from .features import read_features
from .levels import Machine, read_machine
from .mapping import read_mapping
from .problem import Problem, read_problem
from .sections import Log, Plain, Section
from .tables import Tables, art_data, ert_data, read_tables

__all__ = ["to_data", "to_spec"]

_IGNORED = {
    "ERT_summary": "provenance only",
    "ART_summary": "provenance only",
    "energy_reference_summary": "provenance only",
    "globals": "settings of Timeloop's front end",
    "dumped_by_timeloop_front_end": "mark of Timeloop's front end",
    "variables": "read first",
}


def to_spec(data: Mapping[str, Plain], source: Locator | None = None) -> Spec:
    """The native specification that says what the Timeloop files say; raises `SpecError` with every mistake."""
    native = to_data(data, source)
    try:
        return Spec.model_validate(native)
    except SpecError as error:  # paths of the native form mean nothing in Timeloop's files
        raise SpecError(replace(d, path=(), message=f"{dotted(d.path)}: {d.message}") for d in error.diagnostics) from None


def to_data(data: Mapping[str, Plain], source: Locator | None = None) -> dict[str, Plain]:
    """The same as plain data in the native format."""
    variables = data.get("variables")
    log = Log(source=source, variables=variables if isinstance(variables, dict) else {})  # pyright: ignore[reportUnknownArgumentType]
    root = Section(data, (), log)
    problem = _problem(root)
    tables = read_tables(root)
    chain = _chain(root)
    log.raise_errors()
    assert problem is not None
    assert chain is not None
    machine = read_machine(chain, tables)
    result = _result(root, problem, machine, tables)
    _note_rest(root, chain, tables)
    log.raise_errors()
    return result | {"notes": list(log.notes)}


def _problem(root: Section) -> Problem | None:
    section = root.section("problem")
    if section is None:
        root.log.error((), "no 'problem' in the files")
    return read_problem(section) if section else None


def _chain(root: Section) -> Chain | None:
    section = root.section("architecture", "arch")
    if section is None:
        root.log.error((), "no 'architecture' in the files")
    return read_architecture(section) if section else None


def _result(root: Section, problem: Problem, machine: Machine, tables: Tables) -> dict[str, Plain]:
    levels = (*machine.storage, machine.compute)
    sparse = root.section("sparse_optimizations")
    mapping = read_mapping(root.sections("mapping"), problem, machine)
    unclear = [d for name in mapping.several for d in problem.flattened[name]]
    result: dict[str, Plain] = {
        "reading": "timeloop",
        "workload": dict(problem.workload),
        "architecture": machine.architecture,
        "sparse": read_features(sparse, problem, machine, unclear) if sparse else {},
        "mapping": mapping.entries,
        "constraints": read_constraints(root, problem, machine),
        "energy": {"ert": ert_data(tables, levels), "art": art_data(tables, levels)},
    }
    _apply_overbooking(result)
    return result


def _apply_overbooking(result: dict[str, Plain]) -> None:
    """A level that may overbook and has a limit q of overbooked tiles fits the quantile 1 - q."""
    for level in result["architecture"]["levels"]:
        limit = result["constraints"].get(level["name"], {}).get("max_overbooked")
        if limit is not None and level.get("capacity_rule") == "expected":
            level["capacity_rule"] = 1 - limit


def _note_rest(root: Section, chain: Chain, tables: Tables) -> None:
    """Notes about what is not taken over: mapper settings, tables of unknown components, unknown keys."""
    log = root.log
    if root.has("mapper"):
        root.take("mapper")
        message = "settings of Timeloop's mapper are not taken over: choose method, metric and budget here"
        log.note(root.key_path("mapper"), message)
    if (model := root.section("model")) and model.flag("auto_bypass_on_failure"):
        log.note(model.key_path("auto_bypass_on_failure"), "automatic bypass is not modelled")
    if (compounds := root.section("compound_components")) and compounds.take("classes") and not tables.energy:
        log.note(compounds.path, "compound components are not estimated: give an ERT")
    known = {c.name for c in chain.levels} | set(chain.networks) | {"wire", "Wire"}
    for name in sorted(set(tables.energy) - known):
        section = root.section("ERT")
        log.note(section.path if section else (), f"the ERT's component '{name}' is no level of the architecture")
    root.unused(_IGNORED, "the files")
