"""What a user may write into a study file: pydantic models, documented field by field."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from sparseloop import __version__
from sparseloop.input import expressions as expr
from sparseloop.input.diagnostics import Diagnostic, Span, SpecError, dotted
from sparseloop.input.extras import import_extra
from sparseloop.input.field_types import Count, Number, Whole
from sparseloop.input.records import Names, Record


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
"""One text or a list of them."""


def _signed(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise expr.wrong(f"expected a number, got {value!r}")
    result = expr.evaluate_expression(value) if isinstance(value, str) else None
    if result is not None and result.unit:
        raise expr.wrong(f"'{value}' has a unit", "write the number only, and the unit under unit:")
    return cast("float", value) if result is None else result.number


def _values(value: object) -> object:
    if isinstance(value, str) and value.lstrip().startswith("range("):
        raise expr.wrong(f"expected a list, got '{value}'", "numbers in steps are written range: [0.1, 0.9], step: 0.2")
    return value


def _parameter(value: Any) -> Any:
    """A list is short for `values`, a text for `value` (an expression)."""
    if isinstance(value, str) and value.lstrip().startswith("range("):
        return {"values": value}
    if isinstance(value, list | tuple):
        return {"values": cast("object", value)}
    return {"value": value} if isinstance(value, str | int | float) else cast("object", value)


class ParameterSpec(Record):
    """Something that varies: one of `values`, `range`, `choices` and `value` says how."""

    path: Texts = Field(default=(), description="Where it is written in the specification, as with --set; also several.")
    values: Annotated[tuple[Any, ...] | None, BeforeValidator(_values)] = Field(
        default=None, description="The values, in order; whole sub-trees too."
    )
    range: tuple[Annotated[float, BeforeValidator(_signed)], Annotated[float, BeforeValidator(_signed)]] | None = Field(
        default=None, description="[first, last]; with step or points a list, without them any number between."
    )
    step: Annotated[float, BeforeValidator(_signed), Field(gt=0)] | None = Field(
        default=None, description="From value to value of the range: added, or multiplied with scale: log."
    )
    points: Count | None = Field(default=None, description="So many values of the range.")
    scale: Literal["linear", "log"] = Field(default="linear", description="How the values of a range lie.")
    whole: bool = Field(default=False, description="Whole numbers only.")
    choices: dict[str, dict[str, Any]] | None = Field(
        default=None, description="By label what is written where: {csr: {sparse.GLB.formats.A: csr}, none: {}}."
    )
    value: str | float | None = Field(default=None, description="An expression of other parameters: 4 * pes.")
    unit: str | None = Field(default=None, description="Written behind every number: KiB.")
    when: str | None = Field(default=None, description="It varies only where this holds: format == csr and pes > 4.")
    only: Names = Field(default=(), description="The workloads it is for; missing: all.")


ParameterField = Annotated[ParameterSpec, BeforeValidator(_parameter)]


def _workload(value: Any) -> Any:
    return {"files": cast("object", value)} if isinstance(value, str | list) else value


class WorkloadEntry(Record):
    """One workload: files or fields that complete the specification; with `layers`, each of them."""

    name: str | None = Field(default=None, description="None: that of the workload or layer.")
    files: Texts = Field(default=(), description="Files that complete the specification.")
    spec: dict[str, Any] | None = Field(default=None, description="What completes the specification, written here.")
    set: dict[str, Any] = Field(default_factory=dict, description="Values by path, as with --set: {workload.density.A: 0.3}.")
    weight: Annotated[Number, Field(gt=0)] = Field(default=1.0, description="How often it runs.")


def _by_method(value: object) -> object:
    return {"method": value} if isinstance(value, str) else value


class MapperSpec(Record):
    """How every design is mapped. A name alone is the method."""

    method: str = Field(default="auto", description="auto, optimal, genetic ...; fixed: the mapping in the files.")
    budget: str | float | None = Field(default=None, description="Per design and workload: mappings (100k) or time (10s).")
    minimize: str | None = Field(
        default=None, description="None: the objective of the study if one of them depends on mappings, else edp."
    )
    padded: bool = Field(default=False, description="Also sizes that fill the fanouts better (imperfect factors).")
    seed: Whole = Field(default=0, description="Same seed, same answer.")


class SearchSpec(Record):
    """Which points are evaluated. A name alone is the method."""

    method: Literal["grid", "random", "tpe", "nsga2", "nsga3", "gp"] = Field(
        default="grid", description="All points, random ones, or those that Optuna asks for."
    )
    points: Count | None = Field(default=None, description="How many; a grid has all of its own.")
    seed: Whole = Field(default=0, description="Same seed, same answer.")
    batch: Count = Field(default=32, description="Points asked at a time (not grid, random); the population of nsga2 and nsga3.")


def _walltime(value: object) -> object:
    """As batch systems write times: hours, minutes and seconds, of SLURM also minutes, or days in front."""
    if re.fullmatch(r"(\d+-)?\d+(:\d\d){1,2}|\d+-\d+|[1-9]\d*", str(value)):
        return str(value)
    raise expr.wrong(f"'{value}' is no time of a job", 'e.g. "08:00:00" (eight hours)')


class ClusterSpec(Record):
    """What a job of the cluster asks for (slurm, pbs, sge); see dask-jobqueue."""

    cores: Count = Field(default=1, description="Processor cores of a job; each is a worker.")
    memory: str = Field(default="4 GiB", description="Memory of a job.")
    walltime: Annotated[str, BeforeValidator(_walltime)] = Field(default="01:00:00", description="Time of a job: hh:mm:ss.")
    queue: str | None = Field(default=None, description="Queue or partition.")
    account: str | None = Field(default=None, description="Account or project that is charged.")
    interface: str | None = Field(default=None, description="Network interface of the workers: ib0.")
    prologue: Texts = Field(default=(), description="Lines of the job script before the worker starts: module load python.")
    directives: Texts = Field(default=(), description="Further directives: --exclusive.")
    tls: bool = Field(default=False, description="Connections with keys made for this run: nobody else can send jobs.")
    python: str | None = Field(default=None, description="Interpreter on the nodes; None: the one that runs the study.")


def _inline(value: object) -> str:
    return "inline" if isinstance(value, Mapping) else "files"


class StudySpec(Record):
    """A study: a specification, what varies, what runs, what is minimized."""

    called: ClassVar[str] = "the study"

    name: str = Field(default="study", description="Name in the folder of results and in figures.")
    spec: Annotated[Annotated[dict[str, Any], Tag("inline")] | Annotated[Texts, Tag("files")], Discriminator(_inline)] = Field(
        description="The specification: file names (relative to this file), or written here."
    )
    workloads: tuple[Annotated[WorkloadEntry, BeforeValidator(_workload)], ...] = Field(
        default=(), description="File names or entries; missing: the workload or the layers of `spec`."
    )
    combine: Literal["sum", "geomean", "worst"] = Field(default="sum", description="How workloads are taken together.")
    parameters: dict[str, ParameterField] = Field(description="What varies, by name.")
    constraints: Texts = Field(default=(), description="What a design must satisfy: area_um2 <= 2e6, banks * pes <= 64.")
    minimize: str | None = Field(default=None, description="edp, energy, cycles, area, power ...; missing without pareto: edp.")
    pareto: Names = Field(default=(), description="Two or more objectives: [energy, area].")
    mapping: Annotated[MapperSpec, BeforeValidator(_by_method)] = MapperSpec()
    search: Annotated[SearchSpec, BeforeValidator(_by_method)] = SearchSpec()
    cluster: ClusterSpec = ClusterSpec()


# --- what a folder of results says of itself ----------------------------------------------------------------

SCHEMA = "sparseloop.study/1"
"""Of study.json; every change of its fields is another number."""
StudyId = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]
"""Names a folder: no dots and no slashes."""
ColumnType = Literal["int64", "double", "string", "bool", "levels", "keys"]


class _Stored(Record):
    """Base of what the program wrote itself and reads again: types are not converted."""

    model_config = ConfigDict(strict=True)


class StoredParameter(_Stored):
    """A parameter of a study that ran."""

    name: str
    kind: str
    values: list[Any] | None = None
    unit: str | None = None
    numeric: bool
    log: bool


class StoredWorkload(_Stored):
    """A workload of a study that ran."""

    name: str
    weight: float


class StoredObjective(_Stored):
    """An objective, and the column that holds it."""

    name: str
    column: str


class StoredStudy(_Stored):
    """The file study.json of a folder of results."""

    schema_: str = Field(alias="schema")
    id: StudyId
    name: str
    version: str
    parameters: list[StoredParameter]
    workloads: list[StoredWorkload]
    combine: Literal["sum", "geomean", "worst"]
    objectives: list[StoredObjective]
    goal: Literal["pareto", "minimize"]
    constraints: list[str]
    mapping: dict[str, Any]
    search: dict[str, Any]
    columns: dict[str, ColumnType]
    source: dict[str, Any]

    def contradictions(self) -> list[str]:
        """What does not fit together: parameters and objectives without a column, names given twice."""
        named = [("parameter", one.name) for one in self.parameters] + [("objective", one.column) for one in self.objectives]
        found = [f"{kind} '{name}' has no column" for kind, name in named if name not in self.columns]
        workloads = [one.name for one in self.workloads]
        return found + [f"workload '{name}' is there twice" for name in sorted(set(workloads)) if workloads.count(name) > 1]


def stored_study(record: Any, file: FilePath) -> dict[str, Any]:
    """The content of study.json if it is one of this version; `SpecError` says what is not."""
    schema = record.get("schema") if isinstance(record, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if schema != SCHEMA:
        newer = isinstance(schema, str) and re.fullmatch(r"sparseloop\.study/\d+", schema)
        hint = "it was written by another version of sparseloop" if newer else None
        raise SpecError([Diagnostic(message=f"{file} is not a study of this version ({SCHEMA})", hint=hint)])
    place = Span(str(file), None, None)
    try:
        study = StoredStudy.model_validate(record)
    except SpecError as error:
        raise SpecError(
            replace(one, span=place, message=f"{dotted(one.path)}: {one.message}" if one.path else one.message)
            for one in error.diagnostics
        ) from None
    wrong = study.contradictions()
    given = cast("dict[str, Any]", record["columns"])
    wrong += [f"column '{name}' has no type" for name in given if name not in study.columns]
    if _release(study.version) > _release(__version__):
        wrong.append(f"it was written by sparseloop {study.version}, this is {__version__}")
    if wrong:
        raise SpecError(Diagnostic(span=place, message=text) for text in wrong)
    return cast("dict[str, Any]", record)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


# --- rows as Arrow tables -----------------------------------------------------------------------------------


def arrow_schema(columns: Mapping[str, str]) -> Any:
    """The Arrow schema of a table."""
    pa = import_extra("pyarrow")
    level = {
        "name": pa.string(),
        "kind": pa.string(),
        "energy_pj": pa.float64(),
        "cycles": pa.float64(),
        "area_um2": pa.float64(),
    }
    special = {"levels": pa.list_(pa.struct(list(level.items()))), "keys": pa.list_(pa.string())}
    return pa.schema([(name, special.get(kind) or pa.type_for_alias(kind)) for name, kind in columns.items()])


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Any:
    """Rows as a `pyarrow.Table` of the given columns; rows that do not fit are left out, with a warning."""
    schema = arrow_schema(columns)
    table = _table(rows, schema)
    if table is None:
        kept = [row for row in rows if _table([row], schema) is not None]
        warnings.warn(f"{len(rows) - len(kept)} rows of a journal are damaged and left out", stacklevel=2)
        table = _table(kept, schema)
    return table


def _table(rows: Sequence[Mapping[str, Any]], schema: Any) -> Any:
    """The rows as a table; None if some value does not fit its column."""
    pa = import_extra("pyarrow")
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError, OverflowError):
        return None
