"""Imports Timeloop's YAML (v0.2 to v0.4, hyphens or underscores, several files merged) as a native specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from sparseloop.input.diagnostics import Locator, SpecError, dotted
from sparseloop.input.spec import Spec
from sparseloop.input.timeloop.architecture import TimeloopChain, read_architecture
from sparseloop.input.timeloop.constraints import read_constraints
from sparseloop.input.timeloop.features import read_features
from sparseloop.input.timeloop.levels import Machine, read_machine
from sparseloop.input.timeloop.mapping import read_mapping
from sparseloop.input.timeloop.problem import Problem, read_problem
from sparseloop.input.timeloop.sections import ImportLog, Plain, Section, merged_maps
from sparseloop.input.timeloop.tables import PriceTables, art_data, ert_data, read_tables
from sparseloop.input.timeloop.v04_tree import as_v03
from sparseloop.input.yaml.files import Node, SourceMap

__all__ = ["native_data", "native_places", "to_spec"]

_SECTIONS = {
    "workload": ("problem",),
    "architecture": ("architecture", "arch"),
    "mapping": ("mapping",),
    "sparse": ("sparse_optimizations", "sparse-optimizations"),
    "energy": ("ERT", "ART"),
}
"""Top-level key of the native form to the sections it is made from."""

_OF_PROBLEM = (
    ("density", ("problem", "instance", "densities")),
    ("density", ("problem", "densities")),
    ("shape", ("problem", "instance")),
)
"""Key of the native workload to where the problem may have it."""

_IGNORED = {
    "ERT_summary": "provenance only",
    "ART_summary": "provenance only",
    "energy_reference_summary": "provenance only",
    "globals": "noted where it matters",
    "dumped_by_timeloop_front_end": "mark of Timeloop's front end",
    "variables": "read first",
    "shape": "read with the problem",
}

_NATIVE_KEYS = ("workload", "layers", "sparse", "constraints", "energy")
"""Of the native form only `reading` (and `variables`) may stand beside Timeloop's sections."""


def to_spec(data: Mapping[str, Plain], source: Locator | None = None) -> Spec:
    """The native specification equivalent to Timeloop's files; raises `SpecError` with every mistake."""
    native = native_data(data, source)
    try:
        return Spec.model_validate(native)
    except SpecError as error:
        named = SpecError(replace(d, message=f"{dotted(d.path)}: {d.message}") for d in error.diagnostics)
        raise (named.located(native_places(source)) if isinstance(source, SourceMap) else named) from None


def native_places(source: SourceMap) -> SourceMap:
    """The place of a path of the native form: the section of Timeloop's files it is from; of densities and sizes their line."""
    kids = dict[str, tuple[Node, Node]]()
    for native, names in _SECTIONS.items():
        key = next((key for name in names if (key := source.walk((name,))[0])), None)
        if key is not None:
            kids[native] = (key, replace(key, data=None, kids=_of_problem(source) if native == "workload" else None))
    return SourceMap(Node({}, source.root.file, kids=kids), source.lines)


def _of_problem(source: SourceMap) -> dict[str, tuple[Node, Node]] | None:
    """Densities and sizes of the problem, under the names that they have in the native form."""
    kids = dict[str, tuple[Node, Node]]()
    for native, path in _OF_PROBLEM:
        key, node, found = source.walk(path)
        if found == path and key is not None and isinstance(node.kids, dict):
            kids.setdefault(native, (key, node))
    return kids or None


def native_data(data: Mapping[str, Plain], source: Locator | None = None) -> dict[str, Plain]:
    """The same as plain data in the native format."""
    variables = data.get("variables")
    if isinstance(variables, list):
        variables = merged_maps(cast("list[Plain]", variables), ("variables",))
    log = ImportLog(source=source, variables=variables if isinstance(variables, dict) else {})  # pyright: ignore[reportUnknownArgumentType]
    root = Section(data, (), log)
    _check_whole(root)
    problem = _problem(root)
    root = _with_chain(root, problem)
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


def _check_whole(root: Section) -> None:
    """A mapping without its problem and architecture is a mistake."""
    if root.has("mapping") and not root.has("problem", "architecture", "arch"):
        native = "; a native design takes a native mapping" if root.has("workload") else ""
        message = f"a mapping alone: it needs the problem and the architecture it was made for{native}"
        root.log.error(root.key_path("mapping"), message, "give those files as well: problem.yaml arch.yaml map.yaml")
        root.log.raise_errors()


def _problem(root: Section) -> Problem | None:
    section = root.section("problem")
    if section is None:
        _lacks(root, "problem")
    return read_problem(section, root.section("shape")) if section else None


def _with_chain(root: Section, problem: Problem | None) -> Section:
    """The files with the tree of v0.4, if there is one, laid out as a chain."""
    architecture = root.section("architecture", "arch")
    if problem is None or architecture is None or not architecture.has("nodes"):
        return root
    root.log.raise_errors()
    chained = Section(as_v03(root, problem), (), root.log)
    root.log.raise_errors()
    chained.take("problem")
    return chained


def _chain(root: Section) -> TimeloopChain | None:
    section = root.section("architecture", "arch")
    if section is None:
        _lacks(root, "architecture")
    return read_architecture(section) if section else None


def _lacks(root: Section, name: str) -> None:
    """A section that every design needs stands in none of the files."""
    there = ", ".join(f"'{key}'" for key in root.data)
    hint = f"they have {there}; give the file with '{name}:' as well"
    if root.has("workload"):
        hint = "a native file, as its 'workload' is, has 'architecture', 'mapping' and 'sparse' beside it"
    elif name == "problem" and root.has("architecture"):
        hint += "; for the prices of an architecture alone: sparseloop energy FILE"
    root.log.error((), f"no '{name}' in the files", hint)


def _result(root: Section, problem: Problem, machine: Machine, tables: PriceTables) -> dict[str, Plain]:
    levels = (*machine.storage, machine.compute)
    sparse = root.section("sparse_optimizations")
    mapping = read_mapping(root.sections("mapping"), problem, machine)
    unclear = [d for name in mapping.several for d in problem.flattened[name]]
    result: dict[str, Plain] = {
        "reading": root.text("reading") or "timeloop",
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
    """A level that may overbook at most a share q of its tiles gets the capacity rule 1 - q, a quantile."""
    for level in result["architecture"]["levels"]:
        limit = result["constraints"].get(level["name"], {}).get("max_overbooked")
        if limit is not None and level.get("capacity_rule") == "expected":
            level["capacity_rule"] = 1 - limit


def _note_rest(root: Section, chain: TimeloopChain, tables: PriceTables) -> None:
    """Notes what is not imported: mapper settings, tables of unknown components, unknown keys."""
    log = root.log
    if root.has("mapper"):
        root.take("mapper")
        message = "settings of Timeloop's mapper are not taken over: choose method, metric and budget here"
        log.note(root.key_path("mapper"), message)
    if (model := root.section("model")) and model.flag("auto_bypass_on_failure"):
        log.note(model.key_path("auto_bypass_on_failure"), "automatic bypass is not modelled")
    if settings := root.section("globals"):
        _note_globals(settings)
    if (compounds := root.section("compound_components")) and compounds.take("classes") and not tables.energy:
        log.note(compounds.path, "compound components are not estimated: give an ERT")
    known = {c.name for c in chain.levels} | set(chain.networks) | {"wire", "Wire"}
    for name in sorted(set(tables.energy) - known):
        section = root.section("ERT")
        log.note(section.path if section else (), f"the ERT's component '{name}' is no level of the architecture")
    for key in _NATIVE_KEYS:
        if root.has(key):
            message = f"'{key}' is a key of the native form, but these are Timeloop's files"
            log.error(root.key_path(key), message, "sparseloop import makes a native file of them, which can be changed")
    root.unused(_IGNORED, "the files")


def _note_globals(settings: Section) -> None:
    """Settings of the front end that could change numbers: Python functions, switches of the environment."""
    if settings.take("expression_custom_functions"):
        message = "functions written in Python are never run: expressions know the built-in ones only"
        settings.log.note(settings.key_path("expression_custom_functions"), message)
    switches = settings.section("environment_variables")
    for name in switches.data if switches else ():
        if switches and not str(name).startswith("TIMELOOP_HIDE"):
            settings.log.note((*switches.path, name), f"the environment switch {name} of Timeloop has no effect here")
