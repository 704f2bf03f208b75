"""Reads what a figure shows: result files, specifications, folders of studies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparseloop.evaluation.result import SCHEMA, Result
from sparseloop.input.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from sparseloop.explore.store import Store


_DRAWN = "give results of evaluate, result files of eval -f json, or the folder of a study"


@dataclass(frozen=True, kw_only=True)
class FigureSource:
    """The source of a figure: results by name, or a study."""

    records: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Results by name, as in the result file."""
    results: dict[str, Result] = field(default_factory=dict[str, Result])
    """The results whose design is known too."""
    store: Store | None = None


def source_of(what: object) -> FigureSource:
    """The source of a figure from Python: a `Result`, several (a list, or by name), result files read as JSON, a `Best`,
    a `Store` or its folder, what `Study.run` gave.
    """
    if isinstance(what, Result):
        return _of_results({_name(what): what})
    if isinstance(what, Mapping) and what.get("schema") == SCHEMA:  # pyright: ignore[reportUnknownMemberType]
        return FigureSource(records={"result": what})  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(what, Mapping):
        named: dict[str, Any] = {str(name): item for name, item in what.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return _named(named)
    if isinstance(what, list | tuple):
        every: list[Any] = list(what)  # pyright: ignore[reportUnknownArgumentType]
        names = _unique([_name(item) if isinstance(item, Result) else f"result {i}" for i, item in enumerate(every, 1)])
        return _named(dict(zip(names, every, strict=True)))
    if isinstance(getattr(what, "result", None), Result):
        return source_of(what.result)  # pyright: ignore
    if isinstance(what, str | Path):
        return read_source([str(what)])
    if hasattr(what, "store"):  # what came of a study that ran
        return source_of(what.store)  # pyright: ignore
    if hasattr(what, "points") and hasattr(what, "study"):
        return FigureSource(store=what)  # pyright: ignore
    raise SpecError([Diagnostic(message=f"cannot draw what is no result: {type(what).__name__}", hint=_DRAWN)])


def _named(every: Mapping[str, Any]) -> FigureSource:
    wrong = [name for name, item in every.items() if not isinstance(item, Result) and not _is_record(item)]
    if wrong:
        raise SpecError([Diagnostic(message=f"cannot draw {', '.join(wrong)}", hint=_DRAWN)])
    results = {name: item for name, item in every.items() if isinstance(item, Result)}
    return FigureSource(
        records={n: item.to_dict() if isinstance(item, Result) else item for n, item in every.items()}, results=results
    )


def _of_results(results: Mapping[str, Result]) -> FigureSource:
    return FigureSource(records={name: result.to_dict() for name, result in results.items()}, results=dict(results))


def _name(result: Result) -> str:
    """The name of the workload, or 'result' if it has none."""
    name = result.design.einsum.name
    return "result" if name == "einsum" else name


def _layer_name(record: Mapping[str, Any]) -> str:
    """The name of the workload in a result file; nothing if it has none."""
    name = record.get("workload", {}).get("name", "")
    return "" if name == "einsum" else str(name)


def _is_record(one: object) -> bool:
    return isinstance(one, Mapping) and bool(one.get("schema") == SCHEMA)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


# --- from files -----------------------------------------------------------------------------------------------


def read_source(paths: Sequence[str], overrides: Sequence[str] = ()) -> FigureSource:
    """The source of a figure from files: the folder of a study; or result files, and all other files together as one
    specification.
    """
    folders = [path for path in paths if Path(path).is_dir()]
    if folders:
        from sparseloop.explore.store import Store

        if len(paths) > 1:
            raise SpecError([Diagnostic(message="the folder of a study is drawn alone", hint=f"given: {', '.join(paths)}")])
        return FigureSource(store=Store.opened(folders[0]))
    records: dict[str, Mapping[str, Any]] = {}
    mistakes: list[Diagnostic] = []
    for path in (path for path in paths if path.endswith(".json")):
        try:
            found = _records(path)
        except SpecError as error:
            mistakes += error.diagnostics
            continue
        stem = Path(path).stem
        names = [stem if len(found) == 1 else _layer_name(record) or f"{stem} {i}" for i, record in enumerate(found, 1)]
        records.update(zip(_unique([*records, *names])[len(records) :], found, strict=True))
    if mistakes:
        raise SpecError(mistakes)
    others = [path for path in paths if not path.endswith(".json")]
    results = _evaluated(others, overrides) if others else {}
    return FigureSource(records={**records, **{name: result.to_dict() for name, result in results.items()}}, results=results)


def _records(path: str) -> list[Mapping[str, Any]]:
    """The results in a file of `eval -f json` or `map -f json`."""
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([Diagnostic(message=f"cannot read {path}: {error.strerror or error}")]) from None
    except ValueError as error:
        empty = Path(path).stat().st_size == 0
        said = "is empty: the command that should have written it has failed" if empty else f"is no JSON: {error}"
        raise SpecError([Diagnostic(message=f"{path} {said}")]) from None
    every: list[Any] = held if isinstance(held, list) else [held]  # pyright: ignore[reportUnknownVariableType]
    if not every or not all(_is_record(item) for item in every):
        hint = f"results are written by: sparseloop eval FILE... -f json (schema {SCHEMA})"
        kinds = {str(item.get("schema") or "no schema") for item in every if isinstance(item, Mapping) and not _is_record(item)}  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        held = f" (it has {', '.join(sorted(kinds))})" if kinds else ""
        raise SpecError([Diagnostic(message=f"{path} holds no result of this version{held}", hint=hint)])
    return every


def _evaluated(paths: Sequence[str], overrides: Sequence[str]) -> dict[str, Result]:
    """Every layer of the specification in the files; files that are each a whole specification are evaluated one by one."""
    from sparseloop.evaluation.evaluate import evaluate
    from sparseloop.input.load import load

    alone = [[path] for path in paths] if len(paths) > 1 and all(map(_is_whole, paths)) else [list(paths)]
    found: list[tuple[str, Result]] = []
    for files in alone:
        results = [evaluate(layer) for layer in load(*files, overrides=overrides).per_layer()]
        stem = Path(files[0]).stem
        found += [(stem if len(alone) > 1 and len(results) == 1 else _name(result), result) for result in results]
    return dict(zip(_unique([name for name, _ in found]), [result for _, result in found], strict=True))


def _is_whole(path: str) -> bool:
    """True if a file says both what is computed and on which machine."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    keys = {line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()}
    return "architecture" in keys and bool(keys & {"workload", "layers", "problem"})
