"""The user's own prices of primitives, as CSV or YAML.

A row fits a primitive if its class and action are the same and every attribute it names agrees; '*' or an empty cell
agrees with everything. Of the rows that agree exactly the one that names most attributes counts, then the first. If
none does, the nearest one: words agree, and the sum of |ln(value / cell)| over the numbers is smallest; its price is
taken as it is. A price may be an expression over the attributes, such as `0.0857 * datawidth / 32`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path as FilePath
from typing import cast

from sparseloop.energy.estimators import Estimate
from sparseloop.input import expressions as expr
from sparseloop.input.accelergy.classes import attributes_of, leftover
from sparseloop.input.accelergy.records import Attributes, Primitive, Scalar
from sparseloop.input.diagnostics import Diagnostic, Path, Span, SpecError, did_you_mean
from sparseloop.input.timeloop.sections import ImportLog, Section
from sparseloop.input.yaml import files as yamlio
from sparseloop.input.yaml.nodes import file_text, scalar, wrong_file

ANY = ("*", "", None)
NEAREST_CONFIDENCE = 0.5
"""Of a price from a row that does not agree exactly."""
_FIXED = ("class", "action", "energy", "area", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """One row: what it is for, and its prices (pJ, um2) as numbers or expressions."""

    class_name: str
    action: str | None = None
    attributes: Attributes = field(default_factory=dict[str, Scalar])
    energy: Scalar = None
    area: Scalar = None
    source: str = ""

    def distance(self, values: Mapping[str, Scalar]) -> float:
        """0 if all attributes agree, infinite if one cannot be compared."""
        total = 0.0
        for name, cell in self.attributes.items():
            value = values.get(name)
            if isinstance(value, int | float) and isinstance(cell, int | float):
                both = value > 0 and cell > 0
                total += 0.0 if value == cell else abs(math.log(value) - math.log(cell)) if both else math.inf
            else:
                total += 0.0 if value is not None and _word(value) == _word(cell) else math.inf
        return total


def _word(value: Scalar) -> str:
    return str(value).strip().lower()


@dataclass(frozen=True, slots=True)
class UserTable:
    """Prices of primitives from rows of a table."""

    rows: tuple[UserRow, ...]

    def energy(self, primitive: Primitive, action: str, arguments: Attributes) -> Estimate | None:
        """Energy of one action in pJ; attributes in the table may also be arguments of the action."""
        rows = [row for row in self.rows if row.energy is not None and row.action in (action, "*")]
        return _best(rows, primitive, arguments, "energy")

    def area(self, primitive: Primitive) -> Estimate | None:
        """Area of one instance in um2."""
        return _best([row for row in self.rows if row.area is not None], primitive, {}, "area")


def _best(rows: Sequence[UserRow], primitive: Primitive, arguments: Attributes, what: str) -> Estimate | None:
    values = {**primitive.inherited, **primitive.attributes, **arguments}
    rows = [row for row in rows if row.class_name in (primitive.class_name, "*")]
    if not rows:
        return None
    best = min(rows, key=lambda row: (row.distance(values), row.class_name == "*", row.action == "*", -len(row.attributes)))
    distance = best.distance(values)
    if math.isinf(distance):
        return None
    value = _computed(best.energy if what == "energy" else best.area, values, best, what)
    if distance == 0:
        return Estimate(value=value, source=best.source)
    off = [f"{name} {cell} for {values[name]}" for name, cell in best.attributes.items() if values[name] != cell]
    return Estimate(value=value, source=f"{best.source}, nearest row: {', '.join(off)}", confidence=NEAREST_CONFIDENCE)


def _computed(price: Scalar, values: Attributes, row: UserRow, what: str) -> float:
    """A number, or the value of an expression over the attributes."""
    if not isinstance(price, str):
        return float(price)
    unit, scale = ("J", 1e12) if what == "energy" else ("m*m", 1e12)
    try:
        with expr.variables(values):
            result = expr.evaluate_expression(price)
        if result.unit not in ("", unit) or not 0 <= result.number <= 1e300:
            raise expr.wrong(f"{price} is no {what}: {result.number:g} {result.unit}".rstrip())
    except expr.NotationError as error:
        message = f"cannot compute the {what} '{price}': {error.mistakes[0].message}"
        raise SpecError([Diagnostic(message=f"{row.source}: {message}", hint=error.mistakes[0].hint)]) from None
    return float(result.number * (scale if result.unit else 1))


# --- reading ------------------------------------------------------------------------------------------------


def read_user_table(path: str | PathLike[str]) -> UserTable:
    """A table from a CSV file, or from YAML with the key `primitives`; raises `SpecError` with every mistake."""
    file = FilePath(path)
    return _csv(str(file)) if file.suffix.lower() in (".csv", ".tsv") else _yaml(file)


def _csv(path: str) -> UserTable:
    """Columns class, action, energy, area, source; every other column is an attribute or argument. '#' starts a comment."""
    text = file_text(path)
    lines, problems, rows = text.splitlines(), list[Diagnostic](), list[UserRow]()
    reader = csv.reader(io.StringIO(text), delimiter="\t" if path.lower().endswith(".tsv") else ",", skipinitialspace=True)
    header: list[str] | None = None

    def wrong(message: str, number: int, word: str = "", hint: str | None = None) -> None:
        line = lines[number - 1] if number <= len(lines) else ""
        col = max(line.find(word), 0) + 1 if word else 1
        problems.append(Diagnostic(message=message, hint=hint, span=Span(path, number, col, max(1, len(word)), line)))

    try:
        for cells in reader:
            number = reader.line_num
            cells = [cell.strip() for cell in cells]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if header is None:
                header = cells
                for message, word, hint in _header_problems(header):
                    wrong(message, number, word, hint)
                continue
            if len(cells) > len(header):
                wrong(f"{len(cells)} cells, but the header has {len(header)} columns", number)
            row = dict(zip(header, cells, strict=False))
            for message, word in _cell_problems(row):
                wrong(message, number, word)
            rows.append(_row_of(row, f"{path}:{number}"))
    except csv.Error as error:
        wrong(f"cannot read the table: {error}", reader.line_num)
    if header is None:
        raise wrong_file(path, "the table is empty", "its first line names the columns: class, action, energy, area, ...")
    if problems:
        raise SpecError(problems)
    return UserTable(tuple(rows))


def _header_problems(header: Sequence[str]) -> Iterator[tuple[str, str, str | None]]:
    for name in header:
        if header.count(name) > 1:
            yield f"column '{name}' is there twice", name, None
        hint = did_you_mean(name, _FIXED[:4]) or ""
        if name not in _FIXED and hint.startswith("did you mean") and name.lower() != "classes":
            yield f"column '{name}' would be an attribute", name, hint
    if "class" not in header:
        yield "the table has no column 'class'", "", "columns: class, action, energy, area, and attributes"
    if "energy" not in header and "area" not in header:
        yield "the table has neither a column 'energy' nor 'area'", "", None


def _cell_problems(row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if not row.get("class"):
        yield "the row names no class ('*' for all)", ""
    if row.get("energy") and not row.get("action"):
        yield "an energy needs an action ('*' for all)", row["energy"]
    if not row.get("energy") and not row.get("area"):
        yield "the row has neither energy nor area", ""
    for key in ("energy", "area"):
        value = scalar(row.get(key, ""))
        if isinstance(value, bool) or (isinstance(value, int | float) and not 0 <= value <= 1e300):
            yield f"{key} must be a number >= 0, not {value}", row[key]


def _row_of(row: Mapping[str, str], place: str) -> UserRow:
    attributes = {name: scalar(cell) for name, cell in row.items() if name not in _FIXED and cell not in ANY}
    return UserRow(
        class_name=row.get("class", ""),
        action=row.get("action") or None,
        attributes=attributes,
        energy=scalar(row.get("energy", "")),
        area=scalar(row.get("area", "")),
        source=f"{row['source']}, {place}" if row.get("source") else place,
    )


def _yaml(file: FilePath) -> UserTable:
    """`primitives: [{class, attributes, area, actions: {name: energy or {energy, arguments} or a list of them}}]`."""
    data, source = yamlio.load_files([file])
    log = ImportLog(source=source)
    root = Section(data, (), log)
    if not root.has("primitives"):
        log.diagnostics.append(Diagnostic(message=f"{file} has no 'primitives': [{{class: ..., actions: ...}}]"))
    rows = [row for section in root.sections("primitives") for row in _entry(section)]
    for key in data:
        if key != "primitives":
            log.error((key,), f"unknown key '{key}' of a price table", did_you_mean(key, ("primitives",)))
    for note in log.notes:
        log.diagnostics.append(Diagnostic(message=note))
    log.raise_errors()
    return UserTable(tuple(rows))


def _entry(section: Section) -> Iterator[UserRow]:
    log, class_name = section.log, section.text("class")
    if not class_name:
        log.error(section.path, "an entry needs a class ('*' for all)")
    attributes = {key: entry.value for key, entry in attributes_of(section).items() if entry.value not in ANY}
    place, said = log.place(section.path), section.text("source")
    label = f"{said}, {place}" if said else place
    if section.has("area"):
        area = _price(section.take("area"), section.key_path("area"), log)
        yield UserRow(class_name=class_name or "", attributes=attributes, area=area, source=label)
    actions = section.section("actions")
    for name, value in actions.data.items() if actions else ():
        path = (*section.path, "actions", name)
        for i, variant in enumerate(cast("list[Scalar]", value) if isinstance(value, list) else [value]):
            at = (*path, i) if isinstance(value, list) else path
            given = Section(cast("dict[str, Scalar]", variant) if isinstance(variant, dict) else {"energy": variant}, at, log)
            inside = {key: entry.value for key, entry in attributes_of(given, "arguments").items() if entry.value not in ANY}
            energy = _price(given.take("energy"), at, log)
            leftover(given, f"action {name}", ("energy", "arguments"))
            yield UserRow(
                class_name=class_name or "", action=str(name), attributes=attributes | inside, energy=energy, source=label
            )
    if not section.has("area") and not actions:
        log.error(section.path, "an entry needs actions or an area")
    leftover(section, "an entry", ("class", "attributes", "area", "actions", "source"))


def _price(value: Scalar, path: Path, log: ImportLog) -> Scalar:
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e300
    if not numeric and not isinstance(value, str):
        log.error(path, f"expected a price >= 0 or an expression, got {value!r}")
        return None
    return value
