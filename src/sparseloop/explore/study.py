"""`sl.Study`: a design space to explore. Read, check, run; every point becomes a specification and a result again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sparseloop import __version__
from sparseloop.evaluation.cache_key import digest
from sparseloop.evaluation.evaluate import design_of, evaluate, evaluate_mapping
from sparseloop.evaluation.result import Result
from sparseloop.explore import definition as studyfile
from sparseloop.explore.conditions import Value
from sparseloop.explore.definition import StudyDefinition, objective_columns
from sparseloop.explore.executors import executor
from sparseloop.explore.point import Designs
from sparseloop.explore.reuse import EvaluationCache
from sparseloop.explore.run import StudyTally, Sweep, Watch
from sparseloop.explore.schema import SCHEMA
from sparseloop.explore.space import Parameter, Values
from sparseloop.explore.sql import identifier, literal
from sparseloop.explore.store import POINT_COLUMNS, Row, Store
from sparseloop.input.diagnostics import Diagnostic, Natural, Positive, SpecError, check_arguments, check_fields
from sparseloop.input.markup import heading, small_table
from sparseloop.input.spec import Spec
from sparseloop.mapper.objectives import pareto
from sparseloop.mapper.task import silent


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where and how a study runs; its results depend on none of these."""

    executor: str = "local"
    """'local', 'dask', 'slurm', 'pbs', 'sge', or the address of a Dask scheduler (tcp://...)."""
    workers: Positive = 1
    resume: bool = False
    """Go on with what the folder holds."""
    reuse: Sequence[str | Path] = ()
    """Folders of other studies: what they evaluated is taken over."""
    watch: Watch = field(default=silent)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """A design space with what is minimized over it."""

    definition: StudyDefinition

    @staticmethod
    def load(path: str | Path, overrides: str | Sequence[str] = ()) -> Study:
        """The study in a file; raises `SpecError` with every mistake."""
        check_arguments(Study.load, locals())
        return Study(studyfile.read_study(path, [overrides] if isinstance(overrides, str) else overrides))

    @staticmethod
    def of(data: Mapping[str, Any]) -> Study:
        """A study built in Python: the fields of a study file; `spec` may be a `Spec`."""
        check_arguments(Study.of, locals())
        return Study(studyfile.study_from_data(data))

    @staticmethod
    def opened(store: Store | str | Path) -> Study:
        """The study that a folder holds the results of."""
        check_arguments(Study.opened, locals())
        record = (store if isinstance(store, Store) else Store.opened(store)).study
        return Study(studyfile.study_from_data(record["source"]["study"], record["source"]["file"]))

    def __repr__(self) -> str:
        space, spec = self.definition.designs.space, self.definition.spec
        names = ", ".join(parameter.name for parameter in space.parameters)
        return f"<Study {spec.name or ''}: {spec.search.points or space.size or 'any number of'} points of {names}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the parameters and what is minimized."""
        rows = [
            (one.name, one.kind, "any" if one.values is None else ", ".join(map(str, one.values)), one.unit or "")
            for one in self.definition.designs.space.parameters
        ]
        goals = ", ".join(objective_columns(self.definition.objectives))
        return heading(repr(self).strip("<>"), f"minimized: {goals}") + small_table(
            ("parameter", "kind", "values", "unit"), rows, left=4
        )

    # --- what it is -----------------------------------------------------------------------------------------

    @cached_property
    def id(self) -> str:
        """Equal for studies with the same points: the same inputs, parameters, objectives, search and version."""
        definition = self.definition
        study = definition.spec.model_dump(mode="json", exclude={"name", "spec", "workloads", "cluster"})
        workloads: list[list[Any]] = []
        for i, one in enumerate(definition.designs.workloads):
            workloads.append([one.name, one.weight, sorted(one.names), one.layer, [one.root.data, self._base(i)]])
        return digest({"study": study, "workloads": workloads, "version": __version__})[:16]

    def _base(self, workload: int) -> str:
        """The content of the files that a specification names."""
        base = self.definition.designs.workloads[workload]
        spec = Spec.model_validate(base.root.data).with_source(studyfile.SourceMap(base.root, base.lines))
        return self.definition.designs.key(spec if base.layer is None else list(spec.per_layer())[base.layer])

    @cached_property
    def columns(self) -> dict[str, str]:
        """Columns of its points, with their types."""
        parameters = {parameter.name: parameter.column for parameter in self.definition.designs.space.parameters}
        extra = {name: "double" for name in objective_columns(self.definition.objectives).values() if name not in POINT_COLUMNS}
        rest = {name: kind for name, kind in POINT_COLUMNS.items() if name not in ("point", "keys")}
        return {"point": "int64", **parameters, **rest, **extra, "keys": "keys"}

    def described(self) -> dict[str, Any]:
        """The record that is written to `study.json`."""
        definition, designs = self.definition, self.definition.designs
        return {
            "schema": SCHEMA,
            "id": self.id,
            "name": definition.spec.name,
            "version": __version__,
            "parameters": [_described(parameter) for parameter in designs.space.parameters],
            "workloads": [{"name": workload.name, "weight": workload.weight} for workload in designs.workloads],
            "combine": definition.spec.combine,
            "objectives": [{"name": name, "column": column} for name, column in objective_columns(definition.objectives).items()],
            "goal": "pareto" if definition.spec.pareto else "minimize",
            "constraints": [rule.text for rule in definition.constraints],
            "mapping": designs.settings,
            "search": definition.spec.search.model_dump(mode="json"),
            "columns": self.columns,
            "source": self._source(),
        }

    def _source(self) -> dict[str, Any]:
        """Enough to read the study again: the study file with all files in it."""
        said, entries = self.definition.source.root, list[dict[str, Any]]()
        for workload in self.definition.designs.workloads:
            if workload.layer in (None, 0):
                name = workload.name if workload.layer is None else workload.name.rpartition("/")[0] or None
                entries.append({"name": name, "weight": workload.weight, "spec": workload.root.data})
        file = self.definition.source.walk(("parameters",))[1].file
        return {"study": {**said.data, "spec": {}, "workloads": entries}, "file": file}

    # --- points ---------------------------------------------------------------------------------------------

    def spec(self, values: Mapping[str, Any], workload: int | str = 0) -> Spec:
        """The specification of a point (a row of the results will do) for a workload, by number or name."""
        check_arguments(Study.spec, locals())
        names = [parameter.name for parameter in self.definition.designs.space.parameters]
        if missing := [name for name in names if name not in values]:
            told = f"a value of {', '.join(missing)} is missing"
            raise SpecError([Diagnostic(path=("values",), message=told, hint=f"parameters: {', '.join(names)}")])
        chosen = {name: values[name] for name in names}
        return self.definition.designs.spec(chosen, self._number(workload))

    def _number(self, workload: int | str) -> int:
        names = [known.name for known in self.definition.designs.workloads]
        if isinstance(workload, int) and 0 <= workload < len(names):
            return workload
        if isinstance(workload, int) or workload not in names:
            raise SpecError([Diagnostic(message=f"there is no workload {workload!r}", hint=f"known: {', '.join(names)}")])
        return names.index(workload)

    def result(self, row: Row, workload: int | str, store: Store) -> Result:
        """The whole breakdown of a point and a workload, with the mapping that was found."""
        check_arguments(Study.result, locals())
        number = self._number(workload)
        spec = self.spec(row, number)
        if self.definition.designs.fixed:
            return evaluate(spec)
        key = row["keys"][number] if row["keys"] else None
        mappings = store.query(f"select mapping from evaluations where key = {literal(str(key))}")["mapping"].to_pylist()
        if not mappings or mappings[0] is None:
            raise SpecError([Diagnostic(message=f"point {row['point']} has no mapping for this workload: {row['why']}")])
        mapped = Spec.model_validate({**spec.model_dump(by_alias=True), "mapping": json.loads(mappings[0])})
        design = design_of(mapped.with_source(spec.source))
        assert design.mapping is not None
        return evaluate_mapping(design, design.mapping)

    def check(self) -> tuple[str, ...]:
        """Raises every mistake in the values of the parameters; the warnings about the designs that these give.

        Each value is tried while the others keep their first one. Values that do not go together are no mistakes, those points
        say so; names that exist for no workload are, and so is a workload for which nothing works.
        """
        found = _Found()
        count = len(self.definition.designs.workloads)
        for values in self._tries():
            unknown = [found.tried(self.definition.designs, values, workload) for workload in range(count)]
            found.mistakes += [mistake for mistake in unknown[0] if all(mistake in others for others in unknown)]
        mistakes = _told_once(found.mistakes)
        if not mistakes:
            mistakes = [mistake for number, error in found.first.items() if number not in found.works for mistake in error]
        if mistakes:
            placed = [self._at_its_parameter(mistake) for mistake in mistakes]
            raise SpecError(dict.fromkeys(placed))
        return tuple(dict.fromkeys(found.warnings))

    def _at_its_parameter(self, mistake: Diagnostic) -> Diagnostic:
        """A mistake in what a parameter writes, with the line of the study; an unknown name stands in its path."""
        source, span = self.definition.source, mistake.span
        if span is None or span.line is None or span.file not in source.lines:
            return mistake
        word = str(mistake.path[-1]) if mistake.unknown and mistake.path else ""
        hint = mistake.hint if not word or (mistake.hint or "").startswith("did") else _native_words(word) or mistake.hint
        for name, parameter in self.definition.spec.parameters.items():
            for text in parameter.path if word else ():
                node = source.walk(("parameters", name, "path"))[1]
                if node.line == span.line - 1 and isinstance(node.data, str) and word in text.split("."):
                    at = Diagnostic(path=("parameters", name, "path"), message="", offset=text.find(word), length=len(word))
                    return replace(mistake, span=source.span(at), hint=hint)
        return replace(mistake, span=replace(span, text=source.lines[span.file][span.line - 1]), hint=hint)

    def _tries(self) -> Iterator[dict[str, Value]]:
        space = self.definition.designs.space
        seen = list[dict[str, Value]]()
        for tried in space.parameters:
            for value in tried.values or (tried.low, tried.high):
                point = space.point(lambda parameter, t=tried, v=value: v if parameter is t else _first(parameter))
                if point not in seen:
                    seen.append(point)
                    yield point

    # --- running --------------------------------------------------------------------------------------------

    def run(self, folder: str | Path, options: RunOptions | None = None) -> Explored:
        """Evaluates all points that the folder does not hold yet."""
        check_arguments(Study.run, locals())
        options = options or RunOptions()
        warnings = self.check()
        store, definition = Store(Path(folder)), self.definition
        if store.described() is not None and not options.resume:
            hint = "go on with --resume (in Python RunOptions(resume=True)), or give another folder: -o DIR"
            raise SpecError([Diagnostic(message=f"the folder '{folder}' holds a study already", hint=hint)])
        store.begin(self.described())
        store.recover()
        unique = definition.spec.search.method == "grid" and not any(
            parameter.only for parameter in definition.designs.space.parameters
        )
        cache = EvaluationCache(definition.designs, store, options.reuse, repeats=not unique)
        with executor(definition.designs, options.executor, options.workers, definition.spec.cluster) as workers:
            tally = Sweep(self.definition, store, cache, workers, options.watch).run(self.id)
        return Explored(self, store, tally, warnings)


@dataclass(frozen=True, repr=False)
class Explored:
    """The results of a study, and what came of this run."""

    study: Study
    store: Store
    tally: StudyTally
    warnings: tuple[str, ...] = ()
    """What is assumed about the designs, or read differently than written."""

    def __repr__(self) -> str:
        return f"<Explored {self.tally.points} points, {self.tally.valid} valid, in {self.store.path}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the best points."""
        return self.store._repr_html_()  # pyright: ignore[reportPrivateUsage]

    def to_pandas(self) -> Any:
        """One row per point with named columns, as a `pandas.DataFrame` (extra `frames`)."""
        return self.store.to_pandas()

    def to_polars(self) -> Any:
        """As `to_pandas`, as a `polars.DataFrame` (extra `frames`)."""
        return self.store.to_polars()

    def best(self, count: Natural = 1) -> list[Row]:
        """The best valid points; of equal ones the first. For a study with `pareto` its front, by its first objective."""
        check_arguments(Explored.best, locals())
        names = [goal["column"] for goal in self.study.described()["objectives"]]
        listed = ", ".join(map(identifier, names))
        if not self.study.definition.spec.pareto:
            return self.store.query(f"select * from points where valid order by {listed}, point limit {count}").to_pylist()
        import numpy as np

        table = self.store.query(f"select point, {listed} from points where valid order by point")
        if not table.num_rows:
            return []
        front = pareto(np.array([table[name].to_numpy() for name in names]))
        points = ", ".join(str(table["point"][int(i)].as_py()) for i in front)
        return self.store.query(f"select * from points where point in ({points}) order by {listed}, point").to_pylist()


def _told_once(mistakes: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Every mistake once; a name that does not exist is the same mistake for every value of its parameter."""
    first = dict[object, Diagnostic]()
    for mistake in mistakes:
        first.setdefault((mistake.message, mistake.hint) if mistake.unknown else mistake, mistake)
    return list(first.values())


@dataclass
class _Found:
    """What trying the values of parameters has shown."""

    mistakes: list[Diagnostic] = field(default_factory=list[Diagnostic])
    warnings: list[str] = field(default_factory=list[str])
    works: set[int] = field(default_factory=set[int])
    """Workloads for which some values make a design."""
    first: dict[int, tuple[Diagnostic, ...]] = field(default_factory=dict[int, tuple[Diagnostic, ...]])
    """Of workloads: why the first values that make no design do not."""

    def tried(self, designs: Designs, values: Values, workload: int) -> list[Diagnostic]:
        """Tries the values for a workload; the names among them that do not exist."""
        try:
            spec = designs.spec(values, workload)
        except SpecError as error:
            self.mistakes += error.diagnostics
            return []
        try:
            self.warnings += design_of(spec).warnings
        except SpecError as error:
            self.first.setdefault(workload, error.diagnostics)
            return [mistake for mistake in error.diagnostics if mistake.unknown]
        self.works.add(workload)
        return []


_OF_LEVELS = {
    **dict.fromkeys(("depth", "data_storage_depth", "memory_depth", "sizeKB", "entries"), "capacity"),
    **dict.fromkeys(("width", "data_storage_width", "memory_width", "block-size", "cluster-size"), "block_size"),
    **dict.fromkeys(("datawidth", "word-bits", "data_width"), "word_bits"),
    "read_bandwidth": "bandwidth.read",
    "write_bandwidth": "bandwidth.write",
}
_OF_FILES = (
    "problem",
    "subtree",
    "nodes",
    "local",
    "instance",
    "densities",
    "attributes",
    "meshX",
    "meshY",
    "sparse_optimizations",
)


def _native_words(word: str) -> str | None:
    """What a key of Timeloop's files is called in studies, whose paths are native."""
    if word in _OF_LEVELS:
        return f"studies name native keys, over Timeloop's files too: architecture.levels.NAME.{_OF_LEVELS[word]}"
    paths = "workload.shape.M, workload.density.A, architecture.levels.NAME.capacity, sparse.NAME.skip"
    return f"studies name native keys, over Timeloop's files too: {paths}" if word in _OF_FILES else None


def _first(parameter: Parameter) -> Value:
    return parameter.values[0] if parameter.values else round(parameter.low) if parameter.whole else parameter.low


def _described(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "values": None if parameter.values is None else list(parameter.values),
        "unit": parameter.unit or None,
        "numeric": parameter.numeric,
        "log": parameter.log,
    }
