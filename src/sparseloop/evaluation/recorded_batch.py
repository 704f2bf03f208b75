"""Batches: the model recorded on traced values as a list of array operations, replayed on mappings of the same template.

The operations and their order are those of the model. What the recording leaves out changes no number: parts that occur
twice, that no column needs, that depend on no bound, or that have no effect (times 1, plus 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.tracing import Traced, traced_input, value_of, with_traced_densities
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import Plan

CHUNK = 8192
"""Mappings per chunk of a replay: its arrays stay in the cache."""
DIRECT_CHUNK = 32768
"""Mappings per chunk of a direct evaluation: temporaries stay below 250 MB."""
RECORD_FROM = 8192
"""Mappings of a template from which on its recording pays off."""

Columns = dict[str, npt.NDArray[Any]]
Integers = npt.NDArray[np.int64]
Operation = Callable[..., Any]


def evaluate_columns(plan: Plan, bounds: Integers, keep: Sequence[str]) -> Columns:
    """Columns of many mappings: bounds of shape (slots, mappings), evaluated in chunks; one entry a mapping."""
    return _recordings(plan).columns(bounds, tuple(keep))


@lru_cache(maxsize=512)
def _recordings(plan: Plan) -> Recordings:
    return Recordings(plan)


@final
class Recordings:
    """The programs of one template, recorded once enough of its mappings have been evaluated."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._seen = 0
        self._programs: dict[tuple[str, ...], RecordedProgram] = {}
        """By the columns kept."""

    def columns(self, bounds: Integers, keep: tuple[str, ...]) -> Columns:
        """Columns of the mappings with these bounds."""
        count = bounds.shape[1]
        self._seen += count
        columns: Columns = {name: np.empty(count, dtype=np.int64 if name == "status" else np.float64) for name in keep}
        program = self._program(bounds, keep) if self._seen >= RECORD_FROM and count else None
        for part in _parts(count, DIRECT_CHUNK if program is None else CHUNK):
            numbers = bounds[:, part].astype(np.float64)
            values_of = None if program is None else program.run(numbers)
            if values_of is None:
                cost = evaluate_plan(self.plan, numbers)
                values_of = [getattr(cost, name) for name in keep]
            for name, values in zip(keep, values_of, strict=True):
                columns[name][part] = values
        return columns

    def _program(self, bounds: Integers, keep: tuple[str, ...]) -> Program:
        """A program whose fixed loops have these bounds; where there is none, it is recorded anew, the third time with none."""
        alike = {i: int(row[0]) for i, row in enumerate(bounds) if (row == row[0]).all()}
        recorded = self._programs.get(keep)
        program, times = (recorded.program, recorded.times) if recorded else (None, 0)
        fixed = alike if program is None else {i: n for i, n in program.fixed.items() if alike.get(i) == n}
        if program is None or fixed != program.fixed:
            program = Program(self.plan, bounds[:, 0], fixed if times < 2 else {}, keep)
            self._programs[keep] = RecordedProgram(program, times + 1)
        return program


class RecordedProgram(NamedTuple):
    """A program, and how often it was recorded so far."""

    program: Program
    times: int


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@final
class Program:
    """The model on one template as array operations; some loops may have fixed bounds."""

    def __init__(self, plan: Plan, bounds: Integers, fixed: dict[int, int], keep: tuple[str, ...]) -> None:
        self.fixed = fixed
        loops = [float(fixed[i]) if i in fixed else traced_input(float(n), "bound") for i, n in enumerate(bounds)]
        cost = evaluate_plan(replace(plan, einsum=with_traced_densities(plan.einsum)), loops)
        writer = _Writer([loop for loop in loops if isinstance(loop, Traced)])
        results = [writer.place(getattr(cost, name)) for name in keep]
        peaks = [(writer.place(numbers), peak) for numbers, peak in cost.dense.tiles.peaks]
        kept = {*results, *(cell for cell, _ in peaks)}
        self._free = [i for i in range(len(loops)) if i not in fixed]
        self._start, self._steps, cell_of = writer.finished(kept)
        self._results = [cell_of[cell] for cell in results]
        self._peaks = [(cell_of[cell], peak) for cell, peak in peaks]

    def run(self, bounds: npt.NDArray[np.float64]) -> list[Any] | None:
        """The columns of some mappings; None where the model would go through a loop more often than was recorded."""
        cells = [*(bounds[loop] for loop in self._free), *self._start]
        for operation, arguments, cell in self._steps:
            cells[cell] = operation(*[cells[i] for i in arguments])
        if any(np.max(cells[cell]) > peak for cell, peak in self._peaks):
            return None
        return [cells[cell] for cell in self._results]


# --- writing ------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One array operation."""

    operation: Operation
    arguments: tuple[int, ...]
    """Their cells."""
    cell: int
    """Of the result."""


class WrittenSteps(NamedTuple):
    """A program as it is run; the first cells are those of the free loops."""

    start: list[Any]
    """What the cells after the loops' hold at the start."""
    steps: list[Step]
    cell_of: dict[int, int]
    """Place of a value while it was written to its cell."""


NEUTRAL = {"add": 0, "subtract": 0, "multiply": 1, "divide": 1}
"""The second operand that has no effect."""
COMMUTING = ("add", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_or")
OPERATORS = (
    *("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "power", "negative", "absolute", "invert"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "bitwise_and", "bitwise_or", "where"),
)
"""Traced operations that numpy has under the same name."""


@final
class _Writer:
    """Writes traced values as steps; every value gets a cell of its own, equal ones the same."""

    def __init__(self, loops: Sequence[Traced]) -> None:
        self._steps: list[Step] = []
        self._count = len(loops)
        self._constants: dict[int, Any] = {}
        self._flags: set[int] = set()
        """Cells of truth values."""
        self._placed = {id(loop): cell for cell, loop in enumerate(loops)}
        """Identity of a value to its cell; those asked for are kept, so that no other takes over an identity."""
        self._asked: list[Any] = list(loops)
        self._equal: dict[tuple[Any, ...], int] = {}

    def place(self, value: Any) -> int:
        """The cell of a value, after the steps that compute it."""
        self._asked.append(value)
        waiting = [value]
        while waiting:
            node = waiting[-1]
            arguments = node.arguments if isinstance(node, Traced) else ()
            missing = [a for a in reversed(arguments) if id(a) not in self._placed]
            if missing and id(node) not in self._placed:
                waiting += missing
                continue
            waiting.pop()
            if id(node) not in self._placed:
                self._placed[id(node)] = self._new_cell_of(node)
        return self._placed[id(value)]

    def _new_cell_of(self, node: Any) -> int:
        arguments = tuple(self._placed[id(a)] for a in node.arguments) if isinstance(node, Traced) else ()
        if not isinstance(node, Traced) or all(a in self._constants for a in arguments):
            return self._constant(value_of(node))
        cell = self._without_effect(node.operation, arguments)
        if cell is not None:
            return cell
        if node.operation in NEUTRAL:
            arguments = self._as_numbers(arguments)
        if node.operation in COMMUTING:
            arguments = tuple(sorted(arguments))
        function = getattr(np, node.operation) if node.operation in OPERATORS else node.function
        assert function is not None
        return self._step(function, arguments, flag=isinstance(node.value, bool | np.bool_))

    def _constant(self, value: Any) -> int:
        key = (value.__class__, value)
        if key not in self._equal:
            self._constants[self._count] = value
            self._equal[key] = self._new()
        return self._equal[key]

    def _step(self, function: Operation, arguments: tuple[int, ...], *, flag: bool = False) -> int:
        key = (function, arguments)
        if key not in self._equal:
            self._equal[key] = self._new()
            self._steps.append(Step(function, arguments, self._equal[key]))
            if flag:
                self._flags.add(self._equal[key])
        return self._equal[key]

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _without_effect(self, operation: str, arguments: tuple[int, ...]) -> int | None:
        """The cell of x for x + 0, x - 0, x * 1 and x / 1, and of 0 for x * 0: there are no infinite numbers."""
        if operation not in NEUTRAL:
            return None
        first, second = arguments
        if operation in COMMUTING and first in self._constants:
            first, second = second, first
        if self._constants.get(second) == NEUTRAL[operation] and first not in self._flags:
            return first
        return self._constant(0.0) if operation == "multiply" and self._constants.get(second) == 0 else None

    def _as_numbers(self, arguments: tuple[int, ...]) -> tuple[int, ...]:
        """Truth values that meet fractions as fractions, once: numpy would turn them into such at every use."""
        if all(a in self._flags or isinstance(self._constants.get(a), int) for a in arguments):
            return arguments
        return tuple(self._step(_as_number, (a,)) if a in self._flags else a for a in arguments)

    def finished(self, kept: set[int]) -> WrittenSteps:
        """The program, in which every value in `kept` keeps its cell to the end.

        A cell is used again as soon as its value is no longer needed, the latest first: it is still in the cache.
        """
        written = {cell for _, _, cell in self._steps}
        last = {a: number for number, (_, arguments, _) in enumerate(self._steps) for a in arguments}
        fixed = [cell for cell in range(self._count) if cell not in written]
        place = {cell: number for number, cell in enumerate(fixed)}
        cells, unused, steps = len(fixed), list[int](), list[Step]()
        for number, (function, arguments, cell) in enumerate(self._steps):
            cells_of = tuple(place[a] for a in arguments)
            unused += [place[a] for a in dict.fromkeys(arguments) if last[a] == number and a in written and a not in kept]
            if not unused:
                unused.append(cells)
                cells += 1
            place[cell] = unused.pop()
            steps.append(Step(function, cells_of, place[cell]))
        start = [self._constants.get(cell) for cell in fixed if cell in self._constants]
        return WrittenSteps(start + [None] * (cells - len(fixed)), steps, place)


def _as_number(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return flags.astype(np.float64)
