"""Values that remember how they came about: the model runs on them unchanged.

A traced value carries its number, the operation and the arguments. It never becomes a plain number on the way, so a
model that branches on data fails with a clear message.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, final

import numpy as np

from sparseloop.model.cost.cost import Cost
from sparseloop.model.density import DensityModel, Extents, Lattice, Occupancy, Passes, Pattern, Tile, side_numbers, sides_of
from sparseloop.model.density.base import KnownPattern, ProducedResult
from sparseloop.model.design import Design
from sparseloop.model.design.einsum import Einsum, Tensor
from sparseloop.model.design.mapping import Mapping
from sparseloop.model.pipeline import evaluate_plan, plan_of
from sparseloop.model.plan import Plan
from sparseloop.model.units import Array

Function = Callable[..., Any]
_plain: Any = operator
"""Python's own operators: what the model computes with for plain numbers."""


@final
class Traced:
    """A number with the operation and arguments that gave it; refuses to steer control flow."""

    __slots__ = ("arguments", "function", "label", "operation", "tensor", "value")

    def __init__(self, value: Any, operation: str, arguments: tuple[Any, ...] = (), *, label: str = "", tensor: str = "") -> None:
        self.value = value
        self.operation = operation
        self.arguments = arguments
        self.function: Function | None = None
        """What gave the value; None for one that was given."""
        self.label = label
        """Name of a value that was given (a loop bound, a bandwidth)."""
        self.tensor = tensor
        """The tensor whose density model was asked."""

    def __repr__(self) -> str:
        return f"Traced({self.value!r}, {self.label or self.operation})"

    def call(self, name: str, function: Function, arguments: Sequence[Any]) -> Traced:
        """The value of an opaque function of traced and plain values."""
        return applied(name, function, tuple(arguments))

    def item(self, index: int) -> Traced:
        """One entry of a tuple that an opaque function returned."""

        def entry(*_: Any) -> Any:
            return self.value[index]

        return applied(f"{self.operation}[{index}]", entry, (self,))

    # --- numpy ----------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Traced:
        if method != "__call__" or options:
            raise TypeError(f"the model may not use numpy.{ufunc.__name__}.{method} with {sorted(options)}")
        return applied(ufunc.__name__, ufunc, inputs)

    def __array_function__(self, function: Any, types: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Traced:
        if function is not np.where or len(inputs) != 3 or options:
            raise TypeError(f"numpy.{function.__name__} is none of the model's few operations (see ops)")
        return applied("where", _chosen, inputs)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"the model turns data into an array: {self!r}")

    # --- no plain numbers -----------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        raise TypeError(f"the model branches on data: {self!r}")

    def __int__(self) -> int:
        raise TypeError(f"the model turns data into a plain number: {self!r}")

    def __float__(self) -> float:
        raise TypeError(f"the model turns data into a plain number: {self!r}")

    def __index__(self) -> int:
        raise TypeError(f"the model uses data as an index: {self!r}")

    # --- arithmetic -----------------------------------------------------------------------------------------

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Traced:
        return applied("add", _plain.add, (self, other))

    def __radd__(self, other: Any) -> Traced:
        return applied("add", _plain.add, (other, self))

    def __sub__(self, other: Any) -> Traced:
        return applied("subtract", _plain.sub, (self, other))

    def __rsub__(self, other: Any) -> Traced:
        return applied("subtract", _plain.sub, (other, self))

    def __mul__(self, other: Any) -> Traced:
        return applied("multiply", _plain.mul, (self, other))

    def __rmul__(self, other: Any) -> Traced:
        return applied("multiply", _plain.mul, (other, self))

    def __truediv__(self, other: Any) -> Traced:
        return applied("divide", _plain.truediv, (self, other))

    def __rtruediv__(self, other: Any) -> Traced:
        return applied("divide", _plain.truediv, (other, self))

    def __floordiv__(self, other: Any) -> Traced:
        return applied("floor_divide", _plain.floordiv, (self, other))

    def __rfloordiv__(self, other: Any) -> Traced:
        return applied("floor_divide", _plain.floordiv, (other, self))

    def __mod__(self, other: Any) -> Traced:
        return applied("remainder", _plain.mod, (self, other))

    def __rmod__(self, other: Any) -> Traced:
        return applied("remainder", _plain.mod, (other, self))

    def __pow__(self, other: Any) -> Traced:
        return applied("power", _plain.pow, (self, other))

    def __rpow__(self, other: Any) -> Traced:
        return applied("power", _plain.pow, (other, self))

    def __neg__(self) -> Traced:
        return applied("negative", _plain.neg, (self,))

    def __abs__(self) -> Traced:
        return applied("absolute", _plain.abs, (self,))

    # --- comparisons and logic ------------------------------------------------------------------------------

    def __eq__(self, other: object) -> Any:
        return applied("equal", _plain.eq, (self, other))

    def __ne__(self, other: object) -> Any:
        return applied("not_equal", _plain.ne, (self, other))

    def __lt__(self, other: Any) -> Traced:
        return applied("less", _plain.lt, (self, other))

    def __le__(self, other: Any) -> Traced:
        return applied("less_equal", _plain.le, (self, other))

    def __gt__(self, other: Any) -> Traced:
        return applied("greater", _plain.gt, (self, other))

    def __ge__(self, other: Any) -> Traced:
        return applied("greater_equal", _plain.ge, (self, other))

    def __and__(self, other: Any) -> Traced:
        return applied("bitwise_and", _plain.and_, (self, other))

    def __rand__(self, other: Any) -> Traced:
        return applied("bitwise_and", _plain.and_, (other, self))

    def __or__(self, other: Any) -> Traced:
        return applied("bitwise_or", _plain.or_, (self, other))

    def __ror__(self, other: Any) -> Traced:
        return applied("bitwise_or", _plain.or_, (other, self))

    def __invert__(self) -> Traced:
        return applied("invert", np.invert, (self,))


def applied(name: str, function: Function, arguments: tuple[Any, ...], *, tensor: str = "") -> Traced:
    """The traced result of a function of traced and plain values."""
    made = Traced(function(*(value_of(a) for a in arguments)), name, arguments, tensor=tensor)
    made.function = function
    return made


def traced_input(value: Any, label: str) -> Traced:
    """A traced value that comes from the specification."""
    return Traced(value, "given", label=label)


def value_of(value: Any) -> Any:
    """The number behind a traced value; any other value unchanged."""
    return value.value if isinstance(value, Traced) else value


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no


# --- densities ----------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Question:
    """A method of a density model with its arguments in one row: of every tile its size and sides, and whatever else it takes."""

    method: Function
    outlines: tuple[Extents, ...]
    """Per tile: its sides without their numbers."""
    whole: bool = False
    """True if the method takes whole tiles, not size and sides one by one."""

    def __call__(self, *numbers: Any) -> Any:
        found, at = list[Tile](), 0
        for outline in self.outlines:
            end = at + 1 + len(side_numbers(outline))
            found.append(Tile(numbers[at], sides_of(outline, numbers[at + 1 : end])))
            at = end
        return self.method(*found, *numbers[at:]) if self.whole else self.method(*found[0], *numbers[at:])

    def shape(self, *numbers: Any) -> tuple[Any, ...]:
        """Bounding extents of the first tile, one per axis or group of axes, of the numbers that the method is called with."""
        sides = sides_of(self.outlines[0], numbers[1:])
        return tuple(side.reach if isinstance(side, Lattice) else side for side in sides)


def _question(method: Function, *tiles: Tile, whole: bool = False) -> tuple[Question, tuple[Any, ...]]:
    """A question about some tiles, and their numbers in one row."""
    outlines = tuple(sides_of(tile.extents, [0] * len(side_numbers(tile.extents))) for tile in tiles)
    return Question(method, outlines, whole), tuple(n for tile in tiles for n in (tile.size, *side_numbers(tile.extents)))


@final
@dataclass(frozen=True, slots=True)
class PassesQuestion:
    """How much of a tile of a result is still empty, with everything it depends on in one row."""

    model: ProducedResult
    axes: int
    loops: int
    again: bool

    def __call__(self, *row: Any) -> Any:
        return self.model.mean_empty(row[: self.axes], self.passes(row), row[self.axes + 3 * self.loops + 1 :])

    def shape(self, *row: Any) -> tuple[Any, ...]:
        """Sides of the tile."""
        return row[: self.axes]

    def passes(self, row: Sequence[Any]) -> Passes:
        """The visits in the row."""
        rest = row[self.axes :]
        counts, positions, outside = (tuple(rest[i * self.loops : (i + 1) * self.loops]) for i in range(3))
        return Passes(counts, positions, outside, rest[3 * self.loops], self.again)


class TracedDensity(DensityModel):
    """A density model whose answers are opaque traced values."""

    def __init__(self, model: DensityModel, tensor: str) -> None:
        self.model = model
        self.tensor = tensor
        self.shape = model.shape

    def _ask(self, name: str, function: Function, size: Array, extents: Extents, *more: Any) -> Traced:
        question, numbers = _question(function, Tile(size, extents))
        return applied(name, question, (*numbers, *more), tensor=self.tensor)

    @property
    def total(self) -> int:
        """Number of elements of the tensor."""
        return self.model.total

    @property
    def density(self) -> Any:
        """Traced density of the whole tensor."""
        return traced_input(self.model.density, f"density of {self.tensor}")

    @property
    def placed(self) -> tuple[int, ...]:
        """As the model."""
        return self.model.placed

    @property
    def answering(self) -> DensityModel:
        """The model itself."""
        return self.model

    @property
    def deterministic(self) -> bool:
        """As the model."""
        return self.model.deterministic

    @property
    def produced(self) -> bool:
        """As the model."""
        return self.model.produced

    def mask(self) -> Pattern | None:
        """As the model."""
        return self.model.mask()

    def coordinates(self) -> Any:
        """As the model."""
        return self.model.coordinates()

    def spaced(self, steps: tuple[int, ...]) -> DensityModel:
        """As the model, which is a known pattern."""
        return TracedDensity(cast("KnownPattern", self.model).spaced(steps), self.tensor)

    def empty(self, size: Array, extents: Extents) -> Array:
        """P(tile empty)."""
        return self._ask("empty", self.model.empty, size, extents)

    def empty_union(self, first: Tile, second: Tile, shared: Tile) -> Array:
        """P(both tiles empty)."""
        question, numbers = _question(self.model.empty_union, first, second, shared, whole=True)
        return applied("empty_union", question, numbers, tensor=self.tensor)

    def variance(self, size: Array, extents: Extents) -> Array:
        """Variance of the occupancy."""
        return self._ask("variance", self.model.variance, size, extents)

    def maximum(self, size: Array, extents: Extents) -> Array:
        """Largest occupancy."""
        return self._ask("most", self.model.maximum, size, extents)

    def minimum(self, size: Array, extents: Extents) -> Array:
        """Smallest occupancy."""
        return self._ask("least", self.model.minimum, size, extents)

    def quantile(self, size: Array, extents: Extents, confidence: float) -> Array:
        """Quantile of the occupancy."""
        return self._ask("quantile", self.model.quantile, size, extents, confidence)

    def blocks(self, size: Array, extents: Extents, block: float) -> Array:
        """Expected number of packed words."""
        return self._ask("blocks", self.model.blocks, size, extents, block)

    def excess(self, size: Array, extents: Extents, capacity: Array) -> Array:
        """Expected non-zeros beyond the capacity."""
        return self._ask("excess", self.model.excess, size, extents, capacity)

    def parameters(self, size: Array, extents: Extents) -> tuple[Array, ...]:
        """Refused: only the model itself needs them."""
        raise TypeError("the parameters of a density model are its own business")

    def least_nonempty(self, size: Array, extents: Extents) -> Array:
        """Refused: bounds are not traced."""
        raise TypeError("bounds of a density model are not traced")

    def tabulate(self, *parameters: float) -> Occupancy:
        """As the model."""
        return self.model.tabulate(*parameters)


@final
class TracedResult(TracedDensity):
    """The same of a result whose density follows from its operands."""

    @property
    def contraction(self) -> int:
        """As the model."""
        return cast("ProducedResult", self.model).contraction

    @property
    def steps(self) -> tuple[int, ...]:
        """As the model."""
        return cast("ProducedResult", self.model).steps

    def mean_empty(self, extents: tuple[Array, ...], passes: Passes, taken: tuple[Array, ...]) -> Array:
        """Mean over passes of P(tile empty so far)."""
        question = PassesQuestion(cast("ProducedResult", self.model), len(extents), len(passes.counts), passes.again)
        row = (*extents, *passes.counts, *passes.positions, *passes.outside, passes.more, *taken)
        return applied("mean empty", question, row, tensor=self.tensor)

    def mean(self, size: Array, extents: tuple[Array, ...] = ()) -> Array:
        """Expected occupancy."""
        return self._ask("mean", self.model.mean, size, extents) if extents else size * self.density


# --- the model on traced values -----------------------------------------------------------------------------


def _traced(tensor: Tensor) -> DensityModel:
    made = tensor.density.produced and not tensor.density.deterministic
    return (TracedResult if made else TracedDensity)(tensor.density, tensor.name)


def with_traced_densities(einsum: Einsum) -> Einsum:
    """The einsum whose density models give traced answers to questions about traced tiles."""
    return replace(einsum, tensors=tuple(replace(t, density=_traced(t)) for t in einsum.tensors))


def traced_cost(design: Design, mapping: Mapping) -> Cost:
    """The cost of one mapping in traced values: loop bounds, densities, computes, bandwidths and instances carry names."""
    plan = plan_of(_with_names(design), mapping.nest)
    bounds = [traced_input(n, label) for n, label in zip(mapping.bounds, loop_labels(plan), strict=True)]
    computes = traced_input(float(plan.einsum.computes), "computes.total")
    return evaluate_plan(plan, bounds, mapping.residuals, computes=computes)


def _with_names(design: Design) -> Design:
    """The design with densities, bandwidths and instances that carry names."""
    levels: list[Any] = []
    for level in design.arch.levels:
        rates: dict[str, Any] = {}
        for kind in ("read", "write", "shared"):
            rate = getattr(level, f"{kind}_bandwidth")
            rates[f"{kind}_bandwidth"] = None if rate is None else traced_input(rate, f"{level.name} {kind} bandwidth")
        levels.append(replace(level, **rates, instances=traced_input(level.instances, f"{level.name} instances")))
    return replace(design, einsum=with_traced_densities(design.einsum), arch=replace(design.arch, levels=tuple(levels)))


def loop_labels(plan: Plan) -> list[str]:
    """k@GLB for a temporal loop, k@GLB:x for a spatial one; a second loop of the same name gets a prime."""
    seen: dict[str, int] = {}
    labels: list[str] = []
    for loop in plan.loops:
        label = f"{loop.rank}@{plan.arch.levels[loop.level].name}" + (f":{loop.axis}" if loop.axis else "")
        labels.append(label + "'" * seen.get(label, 0))
        seen[label] = seen.get(label, 0) + 1
    return labels
