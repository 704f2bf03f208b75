"""`why`: derives one number of a result, as formulas with names and with numbers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping as Table
from typing import final

from sparseloop.evaluation import humanize as wording
from sparseloop.evaluation.evaluate import design_of, own_mapping
from sparseloop.evaluation.result import CLASSES
from sparseloop.evaluation.tracing import PassesQuestion, Traced, traced_cost, value_of
from sparseloop.input import terminal
from sparseloop.input.diagnostics import Diagnostic, Positive, SpecError, check_arguments, did_you_mean
from sparseloop.input.spec import Spec
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Level, Part
from sparseloop.model.design.mapping import Mapping
from sparseloop.report.formulas import FormulaReader, SymbolDefinition, tile_text
from sparseloop.report.quantities import ResultQuantity, quantities, traced_names
from sparseloop.report.terms import FormulaTerm, formula_text, symbols

MAX_DEFINITIONS = 12
"""Definitions shown below a formula; deeper ones can be asked for."""
DEFAULT_WIDTH = 100


def why(spec: Spec, path: str, *, mapping: Mapping | None = None, width: Positive = DEFAULT_WIDTH) -> str:
    """How the number at `path` came about, e.g. why(spec, 'GLB.A.reads.actual'); `SpecError` if there is no such number."""
    check_arguments(why, locals())
    design = design_of(spec)
    return Explanation(design, mapping or own_mapping(design)).why(path, width=width)


@final
class Explanation:
    """One mapping evaluated on traced values, from which any of its numbers can be explained."""

    def __init__(self, design: Design, mapping: Mapping) -> None:
        self.design = design
        cost = traced_cost(design, mapping)
        plan = cost.plan
        self.known = quantities(plan, cost)
        self._names = traced_names(plan, cost, self.known)

    def why(self, path: str, *, width: int = DEFAULT_WIDTH) -> str:
        """How the number at `path` came about."""
        name = _resolved(path, self.known)
        target = self.known[name]
        lines = [*_headline(name, target, width), *_classes(target)]
        if name == "energy":
            lines += _shares(self.known)
        elif target.actions:
            lines += _energy(target, width)
        elif target.hardware is not None:
            lines += _areas(target.hardware, width)
        else:
            lines += _Formulas(self.design, self._names, width).explained(name, target)
            lines += ["", "ask for LEVEL.area to see its parts and their sources"] if name == "area" else []
        if target.source:
            lines += ["", *textwrap.wrap(f"price: {target.source}", width, subsequent_indent="  ")]
        return terminal.lines("\n".join(lines))


# --- paths --------------------------------------------------------------------------------------------------


def _resolved(path: str, known: Table[str, ResultQuantity]) -> str:
    """The path as it is listed; spaces, and `metadata_bits` instead of `metadata`, make no difference."""

    def plain(name: str) -> str:
        return "".join(name.split()).replace(".metadata_bits.", ".metadata.")

    by_plain = {plain(k): k for k in reversed(list(known))}
    if path in known or plain(path) in by_plain:
        return path if path in known else by_plain[plain(path)]
    below = [name.removeprefix(f"{path}.") for name in known if name.startswith(f"{path}.")]
    close = did_you_mean(path, known) or ""
    if below and "@" not in path:  # GLB.A, or GLB alone
        firsts = dict.fromkeys(name.partition(".")[0] for name in below)
        close = f"did you mean one of its numbers? {path}. with {', '.join(firsts)}"
    elif match := re.fullmatch(r"(\w+)@(.+)", path):
        close = f"did you mean the loop of {match[1]} at {match[2]}? its bound is the mapping's: sparseloop show FILE..."
    hint = (close + "\n" if close.startswith("did") else "") + _listed(known)
    raise SpecError([Diagnostic(message=f"there is no number '{path}'", hint=hint)])


def _listed(known: Table[str, ResultQuantity]) -> str:
    """The patterns of all paths."""
    tensors: dict[str, list[str]] = {}
    for path in known:
        if path.endswith(".tile"):
            level, _, tensor = path.removesuffix(".tile").rpartition(".")
            tensors.setdefault(level, []).append(tensor)
    networks = [path.removesuffix(".energy") for path in known if path.endswith(".energy") and "<==>" in path]
    return "\n".join(
        [
            "there are:",
            "  energy, cycles, edp, area, utilization, computes[.CLASS]",
            "  LEVEL.{energy, cycles, area, instances_used, capacity.expected, capacity.worst, metadata_bits.expected, ...}",
            *(f"  {path}" for path in known if ".waits." in path or ".units." in path),
            "  LEVEL.TENSOR.{reads, fills, updates, metadata.reads, metadata.fills, metadata.updates}[.CLASS]",
            "  LEVEL.TENSOR.{tile, density, occupancy, occupancy.worst, metadata_bits, energy}",
            "  NETWORK.energy, NETWORK.{words_down, words_up, metadata_bits, hops}.TENSOR",
            f"with CLASS {' | '.join(CLASSES)} | slots (actual and gated)",
            *(f"     LEVEL {level}: TENSOR {', '.join(kept)}" for level, kept in tensors.items()),
            *(f"     NETWORK '{name}'" for name in networks),
        ]
    )


def _headline(name: str, target: ResultQuantity, width: int) -> list[str]:
    plain = float(value_of(target.value))
    value = f"{wording.exact_text(plain)} {target.unit}".strip()
    if target.unit == "pJ" and abs(plain) >= 1000:
        value += f" = {wording.energy_text(plain)}"
    line = f"{name} = {value}   ({target.meaning})"
    return [line] if len(line) <= width else [f"{name} = {value}", f"  ({target.meaning})"]


def _classes(target: ResultQuantity) -> list[str]:
    if target.classes is None:
        return []
    shown = [f"{name} {wording.exact_text(value_of(target.classes[name]))}" for name in CLASSES]
    return [f"  {' · '.join(shown)}", "  below: the actual ones; ask for .total, .gated, ... for the others"]


# --- energies -----------------------------------------------------------------------------------------------


def _energy(target: ResultQuantity, width: int) -> list[str]:
    """Actions × price, largest first, with sources; then the actions that are free."""
    rows: list[tuple[float, str]] = []
    free: dict[str, list[str]] = {}
    sources: dict[str, int] = {}
    for a in target.actions:
        count, energy = float(value_of(a.count)), float(value_of(a.energy_pj))
        if count > 0 and a.energy_pj_each == 0:
            free.setdefault(f"{a.action} ({a.source})", []).append(f"{a.tensor or ''} {wording.count_text(count)}".strip())
        elif count > 0:
            mark = sources.setdefault(f"{a.source} (confidence {a.confidence:.2g})", len(sources) + 1)
            formula = f"{wording.exact_text(count)} × {wording.exact_text(a.energy_pj_each)} pJ"
            label = f"{a.action} {a.tensor}" if a.tensor else a.action
            rows.append((energy, f"  {label:<24}{formula:>30} = {wording.energy_text(energy):>8}  [{mark}]"))
    rows.sort(key=lambda row: -row[0])
    lines = ["", f"  {'action':<24}{'count × price':>30}", *(row for _, row in rows)] if rows else []
    lines += ["", "prices from"] if sources else []
    for source, mark in sources.items():
        lines += textwrap.wrap(f"[{mark}] {source}", width, initial_indent="  ", subsequent_indent="      ")
    lines += ["", "free of charge"] if free else []
    for what, counts in free.items():
        lines += textwrap.wrap(f"{what}: {', '.join(counts)}", width, initial_indent="  ", subsequent_indent="      ")
    return lines


def _areas(level: Level, width: int) -> list[str]:
    """Instances × parts × area, largest first, with sources."""
    rows: list[tuple[float, str, str]] = []
    instances = float(value_of(level.instances))
    for part in level.parts:
        area = instances * part.count * part.area_um2
        formula = f"{wording.exact_text(instances)} × {wording.exact_text(part.count)} × {wording.exact_text(part.area_um2)} um2"
        rows.append((area, f"  {part.name:<30}{formula:>30} = {wording.area_text(area):>9}", _sure(part)))
    if not level.parts:
        formula = f"{wording.exact_text(instances)} × {wording.exact_text(level.area_um2)} um2"
        rows.append((1, f"  {'whole':<30}{formula:>30}", level.area_source))
    rows.sort(key=lambda row: -row[0])
    marks = {source: number for number, source in enumerate(dict.fromkeys(source for *_, source in rows), start=1)}
    lines = ["", f"  {'part':<30}{'instances × parts × area':>30}"]
    lines += [f"{line}  [{marks[source]}]" for _, line, source in rows]
    lines += ["", "areas from"]
    for source, mark in marks.items():
        lines += textwrap.wrap(f"[{mark}] {source}", width, initial_indent="  ", subsequent_indent="      ")
    return lines


def _sure(part: Part) -> str:
    return f"{part.area_source} (confidence {part.area_confidence:.2g})"


def _shares(known: Table[str, ResultQuantity]) -> list[str]:
    """The energy of every level and network."""
    total = float(value_of(known["energy"].value)) or 1.0
    whole = [path for path in known if path.endswith(".energy") and path.removesuffix(".energy") + ".tile" not in known]
    parts = sorted(((path, float(value_of(known[path].value))) for path in whole), key=lambda p: -p[1])
    longest = max((len(path) for path, _ in parts), default=0)
    lines = [
        f"  {path:<{longest}}  {wording.energy_text(pj):>8}  {wording.percent_text(pj / total):>6}" for path, pj in parts if pj
    ]
    return ["", "  the sum of", *lines, "", "  ask for one of them to see its actions and prices"]


# --- formulas -----------------------------------------------------------------------------------------------


@final
class _Formulas:
    """The formulas of one explanation."""

    def __init__(self, design: Design, known: dict[int, tuple[str, Traced]], width: int) -> None:
        self.design, self.width = design, width
        self.reader = FormulaReader(known)
        self.loops: dict[str, FormulaTerm] = {}

    def explained(self, name: str, target: ResultQuantity) -> list[str]:
        """The formula of the target, then what its names stand for, breadth first."""
        top = self.reader.shown(self.reader.formula(target.value))
        if top.kind == "number":
            return ["", f"  {_constant(name, top)}"]
        lines = ["", *self._equation(name, top)]
        where, deeper = self._definitions(symbols(top), {name})
        lines += ["", "where", *where] if where else []
        if self.loops:
            listed = ", ".join(f"{label} {wording.exact_text(term.value)}" for label, term in self.loops.items())
            lines += ["", *textwrap.wrap(f"loops: {listed}", self.width, subsequent_indent="       ")]
        if deeper:
            lines += [*textwrap.wrap(f"ask further: {', '.join(deeper[:6])}", self.width, subsequent_indent="       ")]
        return lines

    def _definitions(self, queue: list[FormulaTerm], seen: set[str]) -> tuple[list[str], list[str]]:
        """What the names stand for, folded parts at once; and the paths that were not looked into."""
        where: list[str] = []
        deeper: list[str] = []
        shown = 0
        while queue:
            symbol = queue.pop(0)
            definition = self.reader.definitions.get(symbol.name)
            if symbol.name in seen or definition is None:
                continue
            seen.add(symbol.name)
            if shown >= MAX_DEFINITIONS and definition.kind == "value":
                deeper += [symbol.name] if " " not in symbol.name else []
                continue
            entry, inner = self._defined(symbol, definition)
            shown += bool(entry)
            where += entry
            folded = [s for s in inner if (d := self.reader.definitions.get(s.name)) and d.kind == "part"]
            queue = [*folded, *queue, *(s for s in inner if s not in folded)]
        return where, deeper

    def _defined(self, symbol: FormulaTerm, definition: SymbolDefinition) -> tuple[list[str], list[FormulaTerm]]:
        """The lines that say what a name stands for, and the names in them."""
        if definition.kind == "given":
            return self._given(symbol), []
        if definition.kind == "density":
            assert definition.node is not None
            return self._density(symbol, definition.node)
        term = self.reader.shown(definition.part or self.reader.formula(definition.node))
        if term.kind == "symbol" and term.name == symbol.name:
            return self._given(symbol), []
        return self._equation(symbol.name, term), symbols(term)

    def _given(self, symbol: FormulaTerm) -> list[str]:
        if "@" in symbol.name:
            self.loops.setdefault(symbol.name, symbol)
            return []
        if symbol.name == "computes.total":
            einsum = self.design.einsum
            sizes = " × ".join(wording.exact_text(n) for n in einsum.shape)
            return [f"  computes.total = {' × '.join(einsum.ranks)} = {sizes} = {wording.exact_text(symbol.value)}"]
        return [f"  {symbol.name} = {wording.exact_text(symbol.value)} (given)"]

    def _density(self, symbol: FormulaTerm, node: Traced) -> tuple[list[str], list[FormulaTerm]]:
        """The question to a density model, the size of the tile, and the model's formula."""
        tensor = self.design.einsum.tensor(node.tensor)
        if isinstance(node.function, PassesQuestion):
            return self._so_far(symbol, node, node.function), []
        size = self.reader.shown(self.reader.term(node.arguments[0]))
        number = wording.exact_text(size.value)
        words = f" = {formula_text(size)}" if size.kind != "number" else ""
        about = f"{tile_text(node)} has {number} word{'s' * (size.value != 1)}{words}"
        if node.operation == "empty_union":
            about = "two tiles that overlap"
        how = ""
        if size.value != 1 and node.operation in ("empty", "empty_union"):
            formula = str(getattr(type(tensor.density), node.operation).__doc__).strip().splitlines()[0].rstrip(".")
            nonzeros = getattr(tensor.density, "nonzeros", None)
            known = f" with N = {tensor.density.total}" + (f", r = {nonzeros}" if nonzeros is not None else "")
            how = f"; P(empty) = {formula}{known}"
        line = (
            f"{symbol.name} = {wording.exact_text(symbol.value)}: {about}; {tensor.name} is {wording.density_text(tensor)}{how}"
        )
        return textwrap.wrap(line, self.width, initial_indent="  ", subsequent_indent="      "), symbols(size)

    def _so_far(self, symbol: FormulaTerm, node: Traced, question: PassesQuestion) -> list[str]:
        """How far a result has come at the visits that are averaged."""
        text = wording.exact_text
        row = [float(value_of(a)) for a in node.arguments]
        passes = question.passes(row)
        loops = [f"{text(n)} passes of {text(k)}" for n, k in zip(passes.counts, passes.positions, strict=True) if n > 1]
        when = f"the mean over {' and '.join(loops)} contraction positions" if loops else ""
        when += ", without the first" if question.again and loops else ""
        if passes.more:
            when += f"{', each ' if loops else ''}after {text(passes.more)} {'more' if loops else 'contraction positions'}"
        taken = [text(words) for words in row[question.axes + 3 * question.loops + 1 :] if words]
        known = f"; given that {' and '.join(taken)} words of operands are zero" if taken else ""
        tensor = self.design.einsum.tensor(node.tensor)
        how = f"{tensor.name} is {wording.density_text(tensor)}: at each position some operand's slice is zero"
        line = f"{symbol.name} = {text(symbol.value)}: {when or 'nothing is added yet'}{known}; {how}"
        return textwrap.wrap(line, self.width, initial_indent="  ", subsequent_indent="      ")

    def _equation(self, name: str, term: FormulaTerm) -> list[str]:
        """name = formula = numbers = value, on one line if it fits."""
        formula, numbers, value = formula_text(term), formula_text(term, numbers=True), wording.exact_text(term.value)
        parts = [formula, *([numbers] if numbers not in (formula, value) else []), *([value] if value != formula else [])]
        line = f"  {name} = {' = '.join(parts)}"
        if len(line) <= self.width:
            return [line]
        lines: list[str] = []
        for part, head in zip(parts, (f"  {name} = ", "      = ", "      = "), strict=False):
            lines += _wrapped(head, part, self.width)
        return lines


def _wrapped(head: str, formula: str, width: int) -> list[str]:
    """A long formula broken before operators only."""
    lines, line = list[str](), head
    words = formula.replace(" + ", "\n+ ").replace(" − ", "\n− ").replace(" × ", "\n× ").replace(" / ", "\n/ ").split("\n")
    for word in words:
        if len(line) + len(word) >= width and line.strip() and line != head:
            lines.append(line.rstrip())
            line = " " * 8
        line += word + " "
    return [*lines, line.rstrip()]


def _constant(name: str, top: FormulaTerm) -> str:
    kind = name.rpartition(".")[2]
    if top.value == 0 and kind in CLASSES:
        return f"no event falls in this class: nothing makes one {kind}" if kind != "total" else "there are no such events"
    return f"{wording.exact_text(top.value)}, whatever the loop bounds"
