"""Sets of sparse strategies, and one machine for each set on which no mapping costs more than under any strategy of the set.

A strategy gives every parameter of a study one value; a set leaves some of them several. What is open is taken at its best:
a tensor whose formats are not settled is compressed wherever it may be, with metadata of no bits, or not at all where it may
not be; every feature of some value acts; units that depend on what is open (intersection, packing, decoders), gated and skipped
actions are free; hardware that features need neither leaks nor takes area. More conditions never make an access survive more
often, so counts of this machine are at most those of each strategy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from sparseloop.explore.conditions import Value
from sparseloop.explore.point import Designs
from sparseloop.explore.space import Parameter
from sparseloop.input.diagnostics import Diagnostic, SpecError
from sparseloop.input.resolve import features_of, with_features
from sparseloop.input.spec import Spec
from sparseloop.mapper.space.mapspace import Mapspace, mapspace
from sparseloop.model.cost.actions import ACTION_RULES, least_prices
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Arch, Level
from sparseloop.model.design.sparse import Saf, Sparse, TensorFormat
from sparseloop.model.formats.ranks import least_costly_format

Slot = tuple[int, str]
"""Storage level and tensor."""
Sets = tuple[tuple[int, ...], ...]
"""By parameter the numbers of the values that are left; ABSENT: its condition does not hold."""
ABSENT = -1


@dataclass(frozen=True, slots=True)
class Effect:
    """What a value changes."""

    formats: Mapping[Slot, TensorFormat | None]
    safs: frozenset[Saf]
    gone: frozenset[Saf]
    """Features of the specification that it takes away."""
    skip: bool
    gate: bool
    """At the compute level."""


NOTHING = Effect({}, frozenset(), frozenset(), False, False)


class Strategies:
    """The strategies of a study with one workload; raises `SpecError` where a parameter changes more than sparse features."""

    def __init__(self, designs: Designs) -> None:
        self.designs = designs
        self.parameters: tuple[Parameter, ...] = designs.space.order
        if not self.parameters:
            hint = "give parameters: with formats or features; or search the mapping alone: sparseloop map"
            raise SpecError([Diagnostic(message="there are no strategies to choose between", hint=hint)])
        nothing: dict[str, Value] = {one.name: None for one in self.parameters}
        self.given = designs.spec(nothing, 0)
        if len(designs.workloads) > 1 or self.given.reading != "native":
            raise SpecError([Diagnostic(message="strategies are searched for one workload of native files")])
        self.spec = _without_features(self.given)
        self.features = features_of(self.given)
        if any(saf.packs or saf.choice is not None for saf in self.features.safs):
            raise SpecError([Diagnostic(message="spatial skips and options cannot be searched jointly")])
        self.effects = [self._effects(one, nothing) for one in self.parameters]

    @cached_property
    def space(self) -> Mapspace:
        """The mapspace that all strategies share."""
        return mapspace(self.spec, padded=self.designs.mapper.padded)

    # --- what values change ---------------------------------------------------------------------------------

    def _effects(self, one: Parameter, nothing: Mapping[str, Value]) -> tuple[Effect, ...]:
        if one.kind != "choice" or not one.values:
            raise SpecError([Diagnostic(message=f"'{one.name}' has no list of values: strategies are values or choices")])
        found: list[Effect] = []
        for value in one.values:
            spec = self.designs.spec({**nothing, one.name: value}, 0)
            if _without_features(spec) != self.spec:
                hint = "formats, skip, gate, intersection; what else may vary belongs to sparseloop sweep"
                raise SpecError([Diagnostic(message=f"'{one.name}' changes more than sparse features", hint=hint)])
            found.append(self._effect(one, features_of(spec)))
        return tuple(found)

    def _effect(self, one: Parameter, features: Sparse) -> Effect:
        base = self.features
        if any(saf.packs or saf.choice is not None for saf in {*features.safs} - {*base.safs}):
            raise SpecError([Diagnostic(message=f"'{one.name}': spatial skips and options cannot be searched jointly")])
        slots = {s for s in {*features.formats, *base.formats} if features.formats.get(s) != base.formats.get(s)}
        return Effect(
            formats={slot: features.formats.get(slot) for slot in slots},
            safs=frozenset(features.safs) - frozenset(base.safs),
            gone=frozenset(base.safs) - frozenset(features.safs),
            skip=features.compute_skip,
            gate=features.compute_gate,
        )

    # --- sets -----------------------------------------------------------------------------------------------

    @property
    def all(self) -> Sets:
        """Every strategy."""
        return self.settled(tuple(tuple(range(len(one.values or ()))) for one in self.parameters))

    def settled(self, sets: Sets) -> Sets:
        """What conditions of parameters say of a set: absent, present, or not known yet."""
        values: dict[str, Value] = {}
        found: list[tuple[int, ...]] = []
        for one, numbers in zip(self.parameters, sets, strict=True):
            names = one.when.names([p.name for p in self.parameters]) if one.when else frozenset[str]()
            if one.when and names <= set(values):
                present = one.when.holds(values)
                numbers = tuple(n for n in numbers if (n != ABSENT) == present) or (numbers if present else (ABSENT,))
            elif one.when and ABSENT not in numbers and len(numbers) == len(one.values or ()):
                numbers = (ABSENT, *numbers)
            if len(numbers) == 1:
                values[one.name] = self._value(one, numbers[0])
            found.append(numbers)
        return tuple(found)

    @staticmethod
    def _value(one: Parameter, number: int) -> Value:
        return None if number == ABSENT else (one.values or ())[number]

    def single(self, sets: Sets) -> bool:
        """True for a set of one strategy."""
        return all(len(numbers) == 1 for numbers in sets)

    def count(self, sets: Sets) -> int:
        """Strategies of a set, at most: conditions may exclude some."""
        return math.prod(map(len, sets))

    def values(self, sets: Sets) -> dict[str, Value]:
        """The values of a set of one strategy."""
        return {one.name: self._value(one, n[0]) for one, n in zip(self.parameters, sets, strict=True)}

    def parts(self, sets: Sets, parameter: int) -> Iterator[Sets]:
        """The set cut by one parameter: by where it compresses and skips what, then value by value."""
        groups: dict[object, list[int]] = {}
        for number in sets[parameter]:
            groups.setdefault(self._kind(parameter, number), []).append(number)
        every = list(groups.values())
        if len(every) == 1:
            every = [[number] for number in every[0]]
        for numbers in every:
            yield self.settled((*sets[:parameter], tuple(numbers), *sets[parameter + 1 :]))

    def changed(self, sets: Sets, parameter: int, number: int) -> Sets | None:
        """A single strategy with another value; None if conditions do not go with that."""
        found = self.settled((*sets[:parameter], (number,), *sets[parameter + 1 :]))
        return found if self.single(found) and found[parameter] == (number,) else None

    def _kind(self, parameter: int, number: int) -> object:
        if number == ABSENT:
            return None
        effect = self.effects[parameter][number]
        formats = frozenset((slot, f is not None and f.compressed) for slot, f in effect.formats.items())
        skips = frozenset(saf for saf in effect.safs if saf.saves_time)
        return (formats, skips, effect.gone, effect.skip)

    # --- machines -------------------------------------------------------------------------------------------

    def exact(self, sets: Sets) -> Spec:
        """The specification of a set of one strategy."""
        return self.designs.spec(self.values(sets), 0)

    def machine(self, sets: Sets) -> Design:
        """Costs no mapping more than any strategy of the set does."""
        mine = [self._left(i, numbers) for i, numbers in enumerate(sets)]
        formats, free = self._formats(mine)
        safs, sure, open_levels = self._safs(mine)
        every = [one for effects in mine for one in effects]
        sparse = replace(
            self.features,
            formats=formats,
            safs=safs,
            compute_skip=self.features.compute_skip or any(one.skip for one in every),
            compute_gate=self.features.compute_gate or any(one.gate for one in every),
        )
        design = with_features(self.spec, sparse)
        bare = self.space.design.arch
        if not free:  # hardware of what all strategies have
            bare = with_features(self.spec, replace(sparse, safs=sure, compute_skip=False, compute_gate=False)).arch
        compared = {saf.level for saf in safs if {saf.follower, *saf.leaders} & free}
        return replace(design, arch=_cheapest(design.arch, bare, (open_levels, open_levels | compared), free))

    def _left(self, parameter: int, numbers: tuple[int, ...]) -> list[Effect]:
        return [NOTHING if n == ABSENT else self.effects[parameter][n] for n in numbers]

    def _safs(self, mine: list[list[Effect]]) -> tuple[tuple[Saf, ...], tuple[Saf, ...], set[int]]:
        """Features that some strategy may have, those that all have, and the levels where they differ."""
        taken: set[Saf] = set()
        every: list[Saf] = []
        sure: list[Saf] = []
        unsettled: set[int] = set()
        for effects in mine:
            taken |= effects[0].gone.intersection(*(one.gone for one in effects))
            every += [saf for one in effects for saf in sorted(one.safs, key=str)]
            sure += sorted(effects[0].safs.intersection(*(one.safs for one in effects)), key=str)
            if len({(one.safs, one.gone) for one in effects}) > 1:
                unsettled |= {saf.level for one in effects for saf in one.safs | one.gone}
        given = [saf for saf in self.features.safs if saf not in taken]
        kept = [saf for saf in given if not any(saf in one.gone for effects in mine for one in effects)]
        return tuple(dict.fromkeys([*given, *every])), tuple(dict.fromkeys([*kept, *sure])), unsettled

    def _formats(self, mine: list[list[Effect]]) -> tuple[dict[Slot, TensorFormat], set[str]]:
        """Formats of a set, and the tensors whose formats are not those of every strategy in it."""
        options: dict[Slot, list[TensorFormat | None]] = {slot: [form] for slot, form in self.features.formats.items()}
        for effects in mine:
            for slot in {slot for one in effects for slot in one.formats}:
                base = options.get(slot, [None])
                given = [one.formats[slot] for one in effects if slot in one.formats]
                kept = base if len(given) < len(effects) else []
                found = [*kept, *given]
                options[slot] = [f for i, f in enumerate(found) if f not in found[:i]]
        free = {slot[1] for slot, some in options.items() if len(some) > 1}
        formats: dict[Slot, TensorFormat] = {}
        for slot, some in options.items():
            form = least_costly_format(some, self._ranks(slot[1])) if slot[1] in free else some[0]
            if form is not None:
                formats[slot] = form
        return formats, free

    def _ranks(self, tensor: str) -> tuple[str, ...]:
        """Ranks of a tensor, in the order of the einsum."""
        einsum = self.space.design.einsum
        return tuple(rank for rank in einsum.ranks if rank in einsum.tensor(tensor).ranks)


def _cheapest(arch: Arch, bare: Arch, unsettled: tuple[set[int], set[int]], free: set[str]) -> Arch:
    """With free units and actions where (features, comparisons) are not settled; leakage and area those of `bare`."""
    levels: list[Level] = []
    for i, (level, plain) in enumerate(zip(arch.levels, bare.levels, strict=True)):
        gratis = {action for action, rule in ACTION_RULES.items() if free and rule.needed_by == "formats"}
        gratis |= {action for action, rule in ACTION_RULES.items() if i in unsettled[1] and rule.needed_by == "features"}
        block = level.block_size if free else 1
        prices = least_prices(level.prices, gratis, idle_free=bool(free or unsettled[0]), block=block)
        prices["leak"] = plain.prices["leak"]
        levels.append(replace(plain, prices=prices, min_utilization=0.0, block_size=1 if free else plain.block_size))
    return replace(arch, levels=tuple(levels))


def _without_features(spec: Spec) -> Spec:
    return spec.model_copy(update={"sparse": {}})
