"""A study file understood: its specifications, parameters, conditions and objectives; every mistake at once, with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any, cast

import numpy as np

from sparseloop.explore.conditions import Condition, arithmetic
from sparseloop.explore.parameters import Mistakes, ParameterReader
from sparseloop.explore.point import FIXED, Designs, Workload
from sparseloop.explore.schema import StudySpec, WorkloadEntry
from sparseloop.explore.space import DesignSpace
from sparseloop.explore.store import POINT_COLUMNS
from sparseloop.input.diagnostics import Diagnostic, Path, SpecError, did_you_mean
from sparseloop.input.load import dumps, is_timeloop, to_data
from sparseloop.input.spec import Spec
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.files import SourceMap
from sparseloop.mapper.network import unique_layer_names
from sparseloop.mapper.objectives import Objective, objective
from sparseloop.mapper.options import SearchOptions, parse_budget
from sparseloop.mapper.search import METHODS


@dataclass(frozen=True, kw_only=True)
class StudyDefinition:
    """A study as it was understood."""

    spec: StudySpec
    designs: Designs
    constraints: tuple[Condition, ...]
    objectives: tuple[Objective, ...]
    source: SourceMap
    """The study file."""


def read_study(path: str | FilePath, overrides: Sequence[str] = ()) -> StudyDefinition:
    """The study in a file; raises `SpecError` with every mistake."""
    return _study_of(*yamlio.load_files([path], overrides))


def study_from_data(data: Mapping[str, Any], name: str = "<study>") -> StudyDefinition:
    """A study built in Python; `spec` may be a `Spec`. File names are relative to the folder of `name`."""
    written = {key: _yaml_data(value, (key,)) for key, value in data.items()}
    return _study_of(*yamlio.load_text(yamlio.to_yaml(written), name=name))


def _yaml_data(value: Any, path: Path) -> Any:
    """Data as a YAML file can say it: specifications written out, arrays as lists."""
    if isinstance(value, Spec):
        return to_data(value)
    if isinstance(value, Mapping):
        return {str(key): _yaml_data(item, (*path, str(key))) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_yaml_data(item, (*path, i)) for i, item in enumerate(cast("Sequence[Any]", value))]
    if isinstance(value, np.ndarray | np.generic):
        return _yaml_data(value.tolist(), path)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SpecError([Diagnostic(path=path, message=f"a study cannot hold a {type(value).__name__}")])


def _study_of(data: dict[str, Any], source: SourceMap) -> StudyDefinition:
    if "spec" not in data and (found := next((key for key in ("architecture", "workload", "layers") if key in data), None)):
        told = "this is a specification, not a study"
        hint = "a study names it and says what varies: spec: [FILE] and parameters:; sparseloop eval or map take it as it is"
        raise SpecError([Diagnostic(path=(found,), message=told, hint=hint, key=True)]).located(source)
    try:
        spec = StudySpec.model_validate(_with_empty_entries(data))
    except SpecError as error:
        raise error.located(source) from None
    return _Reader(spec, Mistakes(source)).definition()


def _with_empty_entries(data: Mapping[str, Any]) -> dict[str, Any]:
    """A label without changes ('none:') and a parameter without anything are written, not missing."""
    parameters = data.get("parameters")
    if not isinstance(parameters, dict):
        return dict(data)
    filled = {name: {} if given is None else _with_labels(given) for name, given in parameters.items()}  # pyright: ignore
    return {**data, "parameters": filled}


def _with_labels(given: Any) -> Any:
    choices = given.get("choices") if isinstance(given, dict) else None  # pyright: ignore
    if not isinstance(choices, dict):
        return given  # pyright: ignore
    return {**given, "choices": {label: {} if changes is None else changes for label, changes in choices.items()}}  # pyright: ignore


@dataclass(frozen=True)
class _Reader:
    """Puts a study together; all mistakes are collected on the way."""

    spec: StudySpec
    mistakes: Mistakes

    def definition(self) -> StudyDefinition:
        """The study; raises every mistake."""
        workloads = self._workloads()
        read = [
            ParameterReader(name, parameter, self.mistakes, workloads).read() for name, parameter in self.spec.parameters.items()
        ]
        space = DesignSpace(tuple(parameter for parameter in read if parameter is not None))
        goals = self._objectives()
        rules = [self.mistakes.condition(("constraints", i), text) for i, text in enumerate(self.spec.constraints)]
        mapper = self._mapper(goals, workloads)
        if not self.mistakes.found:  # what is said about names needs all of them
            self._names(space, [rule for rule in rules if rule], goals)
        if not self.mistakes.found:
            self._search(space, len(goals))
        if self.mistakes.found:
            raise SpecError(self.mistakes.found).located(self.mistakes.source)
        assert mapper is not None
        return StudyDefinition(
            spec=self.spec,
            designs=Designs(space, tuple(workloads), mapper),
            constraints=tuple(rule for rule in rules if rule is not None),
            objectives=tuple(goals),
            source=self.mistakes.source,
        )

    # --- workloads ------------------------------------------------------------------------------------------

    def _workloads(self) -> list[Workload]:
        """What runs, with the specification of each; of equal names the second is 'conv-2'."""
        workloads: list[Workload] = []
        for i, entry in enumerate(self.spec.workloads or (WorkloadEntry(),)):
            at: Path = ("workloads", i) if self.spec.workloads else ("spec",)
            workloads += self.mistakes.attempt(at, partial(self._entry, entry, at)) or []
        names = unique_layer_names([workload.name for workload in workloads])
        return [
            replace(workload, name=name, names=workload.names | {name}) for workload, name in zip(workloads, names, strict=True)
        ]

    def _entry(self, entry: WorkloadEntry, at: Path) -> list[Workload]:
        """The workload of an entry, or one for each of its layers."""
        source, inline = self.mistakes.source, isinstance(self.spec.spec, dict)
        pieces = [source.walk(("spec",))[1]] if inline and self.spec.spec else []
        pieces += [source.walk((*at, "spec"))[1]] if entry.spec else []
        given = [] if isinstance(self.spec.spec, dict) else [(("spec", i), name) for i, name in enumerate(self.spec.spec)]
        given += [((*at, "files", i), name) for i, name in enumerate(entry.files)]
        files = {str(source.directory(path) / name): path for path, name in given}
        try:
            base = _native(yamlio.source_map_of(pieces, files, source.lines))
        except SpecError as error:
            raise SpecError([self._in_the_list(mistake, files) for mistake in error.diagnostics]) from None
        changes = [self.mistakes.change((*at, "set", text), text, node) for text, node in self.mistakes.kids((*at, "set"))]
        root = yamlio.with_values(base.root, [change for change in changes if change])
        changed = SourceMap(root, base.lines)
        try:
            spec = Spec.model_validate(root.data)
        except SpecError as error:
            raise error.located(changed) from None
        called = {entry.name} if entry.name else {FilePath(name).stem for name in entry.files}
        workloads: list[Workload] = []
        for i, layer in enumerate(spec.per_layer()):
            name = layer.workload.name
            if entry.name:
                name = f"{entry.name}/{name}" if spec.layers else entry.name
            workload = Workload(name=name, weight=entry.weight, root=root, lines=changed.lines, names=frozenset({*called, name}))
            workloads.append(replace(workload, layer=i) if spec.layers else workload)
        return workloads

    def _in_the_list(self, mistake: Diagnostic, files: Mapping[str, Path]) -> Diagnostic:
        """A mistake about a file as a whole, at its name in the study."""
        span = mistake.span
        if span is None or span.line is not None or span.file not in files:
            return mistake
        return replace(mistake, span=self.mistakes.source.span(replace(mistake, path=files[span.file])))

    # --- objectives and mapper ------------------------------------------------------------------------------

    def _objectives(self) -> list[Objective]:
        """What is minimized: the first decides, or all are weighed against each other."""
        spec = self.spec
        if spec.pareto and spec.minimize is not None:
            self.mistakes.error(("pareto",), "a study has minimize or pareto, not both", key=True)
        if len(spec.pareto) == 1:
            self.mistakes.error(("pareto",), "a front needs two different objectives or more", "e.g. [energy, area]")
        at: Path = ("pareto",) if spec.pareto else ("minimize",)
        words = spec.pareto or tuple(word.strip() for word in (spec.minimize or "edp").split(","))
        goals = [self.mistakes.attempt(at, partial(objective, word)) for word in words]
        return [goal for goal in goals if goal is not None]

    def _mapper(self, goals: Sequence[Objective], workloads: Sequence[Workload]) -> SearchOptions | None:
        """How designs are mapped."""
        given, mistakes = self.spec.mapping, self.mistakes
        if given.method == FIXED:
            for name in given.model_fields_set - {"method"}:
                mistakes.error(("mapping", name), f"'{name}' means nothing with method: fixed", key=True)
            for workload in workloads:
                if not workload.root.data.get("mapping"):
                    message = f"the specification of '{workload.name}' has no mapping"
                    mistakes.error(("mapping",), message, "write one under its mapping:, or choose method: optimal")
            return SearchOptions(method=FIXED)
        if given.method not in METHODS:
            methods = (*METHODS, FIXED)
            mistakes.error(("mapping", "method"), f"unknown method '{given.method}'", did_you_mean(given.method, methods))
            return None
        budget = mistakes.attempt(("mapping", "budget"), lambda: parse_budget(given.budget, given.method))
        minimize = given.minimize or default_mapper_objective(goals)
        goal = mistakes.attempt(("mapping", "minimize"), lambda: objective(minimize))
        if budget is None or goal is None:
            return None
        return SearchOptions(method=given.method, minimize=minimize, budget=budget, padded=given.padded, seed=given.seed)

    # --- what needs all names -------------------------------------------------------------------------------

    def _names(self, space: DesignSpace, rules: Sequence[Condition], goals: Sequence[Objective]) -> None:
        """That conditions, expressions and constraints speak of what exists, and that every parameter does something."""
        values = {parameter.name: parameter.values[0] if parameter.values else 1.0 for parameter in space.parameters}
        labels = {
            parameter.name: [str(value) for value in parameter.values]
            for parameter in space.parameters
            if parameter.column == "string" and parameter.values
        }
        try:
            order = space.order
        except ValueError as error:
            message = f"parameter '{error}' depends on itself"
            self.mistakes.error(("parameters", str(error)), message, key=True)
            return
        for parameter in order:
            at = ("parameters", parameter.name)
            others = {name: value for name, value in values.items() if name != parameter.name}
            if parameter.when:
                self.mistakes.attempt((*at, "when"), partial(parameter.when.check, others, labels))
            if parameter.kind == "expression":
                self.mistakes.attempt((*at, "value"), partial(arithmetic, parameter.expression, others))
        results = dict.fromkeys((*NUMBERS, *objective_columns(goals).values()), 1.0)
        for i, rule in enumerate(rules):
            self.mistakes.attempt(("constraints", i), partial(rule.check, {**values, **results}, labels))
        used = {name for parameter in order for name in parameter.needs(list(values))} | {
            n for rule in rules for n in rule.names(values)
        }
        for parameter in order:
            if not parameter.paths and not any(parameter.changes) and parameter.name not in used:
                message = f"parameter '{parameter.name}' changes nothing"
                self.mistakes.error(("parameters", parameter.name), message, "give it a path:", key=True)

    def _search(self, space: DesignSpace, goals: int) -> None:
        """That the search can do what it is asked for."""
        search = self.spec.search
        if search.method == "grid":
            for parameter in space.parameters:
                if parameter.values is None and parameter.kind != "expression":
                    message = f"a grid needs the values of '{parameter.name}'"
                    self.mistakes.error(
                        ("parameters", parameter.name), message, "give it points: or step:, or search otherwise", key=True
                    )
            if search.points is not None:
                self.mistakes.error(("search", "points"), "a grid has points of its own", "search: {method: random, points: ...}")
        elif search.points is None:
            self.mistakes.error(("search",), f"method {search.method} needs a number of points", "points: 1000", key=True)


NUMBERS = tuple(name for name, kind in POINT_COLUMNS.items() if kind == "double" and name != "seconds")
"""Columns that constraints may speak of."""
COLUMN_OF = {"energy": "energy_pj", "area": "area_um2", "power": "power_w", "cycles": "cycles", "edp": "edp"}
"""Objectives that have a column of another name, or the same."""


def objective_columns(goals: Sequence[Objective]) -> dict[str, str]:
    """Column of every objective."""
    return {goal.name: COLUMN_OF.get(goal.name, goal.name) for goal in goals}


def default_mapper_objective(goals: Sequence[Objective]) -> str:
    """What the mapper minimizes for a study: its objective if but one depends on mappings, else edp."""
    dependent = [goal.name for goal in goals if goal.name != "power" and {"energy_pj", "cycles", "utilization"} & set(goal.needs)]
    return dependent[0] if len(dependent) == 1 else "edp"


def _native(source: SourceMap) -> SourceMap:
    """Files of Timeloop become native ones, so that paths are the same everywhere."""
    if not is_timeloop(source.root.data):
        return source
    from sparseloop.input.load import spec_of_data

    return yamlio.load_text(dumps(spec_of_data(source.root.data, source)), name=f"{source.root.file} as a native specification")[
        1
    ]
