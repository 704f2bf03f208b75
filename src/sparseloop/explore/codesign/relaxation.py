"""Sets of sparse strategies, and for each set a relaxed design that costs no mapping more than any strategy of the set does.

A strategy gives every parameter of a study one value; a set leaves some parameters several values. Where the values left differ,
the relaxed design takes the best of each:

    formats of a tensor    compressed, with metadata of no bits, wherever one value compresses it (`least_costly_format`)
    features               all that one value has: more conditions never make an access survive more often
    prices                 units that formats or features need, gated and skipped actions are free (`least_prices`)
    leakage and area       of the hardware that all strategies have
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

Kept = tuple[int, str]
"""A storage level and a tensor."""
Sets = tuple[tuple[int, ...], ...]
"""A set of strategies: per parameter the numbers of the values that are left, ABSENT among them if its condition may fail."""
ABSENT = -1
"""Stands for a parameter whose condition (`when`) does not hold."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one value of a parameter changes of the features of the specification."""

    formats: Mapping[Kept, TensorFormat | None]
    safs: frozenset[Saf]
    """Features that it adds."""
    gone: frozenset[Saf]
    """Features of the specification that it takes away."""
    skip: bool
    """The compute level skips."""
    gate: bool
    """The compute level gates."""


NO_EFFECT = Effect({}, frozenset(), frozenset(), False, False)


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
        if features.partials != base.partials:
            raise SpecError([Diagnostic(message=f"'{one.name}': partials cannot be searched jointly")])
        places = {s for s in {*features.formats, *base.formats} if features.formats.get(s) != base.formats.get(s)}
        return Effect(
            formats={place: features.formats.get(place) for place in places},
            safs=frozenset(features.safs) - frozenset(base.safs),
            gone=frozenset(base.safs) - frozenset(features.safs),
            skip=features.compute_skip,
            gate=features.compute_gate,
        )

    # --- sets -----------------------------------------------------------------------------------------------

    @property
    def all(self) -> Sets:
        """The set of all strategies."""
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
        """Equal for values that compress the same tensors and skip the same accesses."""
        if number == ABSENT:
            return None
        effect = self.effects[parameter][number]
        formats = frozenset((place, f is not None and f.compressed) for place, f in effect.formats.items())
        skips = frozenset(saf for saf in effect.safs if saf.saves_time)
        return (formats, skips, effect.gone, effect.skip)

    # --- designs --------------------------------------------------------------------------------------------

    def exact(self, sets: Sets) -> Spec:
        """The specification of a set of one strategy."""
        return self.designs.spec(self.values(sets), 0)

    def machine(self, sets: Sets) -> Design:
        """The relaxed design: it costs no mapping more than any strategy of the set does."""
        left = [
            [NO_EFFECT if n == ABSENT else effects[n] for n in numbers]
            for effects, numbers in zip(self.effects, sets, strict=True)
        ]
        formats, features = self._formats(left), self._safs(left)
        every = [effect for effects in left for effect in effects]
        sparse = replace(
            self.features,
            formats=formats.least,
            safs=features.possible,
            compute_skip=self.features.compute_skip or any(effect.skip for effect in every),
            compute_gate=self.features.compute_gate or any(effect.gate for effect in every),
        )
        design = with_features(self.spec, sparse)
        bare = self.space.design.arch
        if not formats.open:  # hardware of what all strategies have
            sure = replace(sparse, safs=features.sure, compute_skip=False, compute_gate=False)
            bare = with_features(self.spec, sure).arch
        return replace(design, arch=_cheapest(design.arch, bare, formats, features))

    def _safs(self, left: list[list[Effect]]) -> _OpenFeatures:
        """Features under the effects that are left, parameter by parameter."""
        taken: set[Saf] = set()
        every: list[Saf] = []
        sure: list[Saf] = []
        levels: set[int] = set()
        for effects in left:
            taken |= effects[0].gone.intersection(*(effect.gone for effect in effects))
            every += [saf for effect in effects for saf in sorted(effect.safs, key=str)]
            sure += sorted(effects[0].safs.intersection(*(effect.safs for effect in effects)), key=str)
            if len({(effect.safs, effect.gone) for effect in effects}) > 1:
                levels |= {saf.level for effect in effects for saf in effect.safs | effect.gone}
        given = [saf for saf in self.features.safs if saf not in taken]
        kept = [saf for saf in given if not any(saf in effect.gone for effects in left for effect in effects)]
        return _OpenFeatures(tuple(dict.fromkeys([*given, *every])), tuple(dict.fromkeys([*kept, *sure])), frozenset(levels))

    def _formats(self, left: list[list[Effect]]) -> _OpenFormats:
        """Formats under the effects that are left, parameter by parameter."""
        options: dict[Kept, list[TensorFormat | None]] = {place: [form] for place, form in self.features.formats.items()}
        for effects in left:
            for place in {place for effect in effects for place in effect.formats}:
                given = [effect.formats[place] for effect in effects if place in effect.formats]
                unchanged = options.get(place, [None]) if len(given) < len(effects) else []
                several = [*unchanged, *given]
                options[place] = [form for i, form in enumerate(several) if form not in several[:i]]
        unsettled = frozenset(tensor for (_, tensor), forms in options.items() if len(forms) > 1)
        formats: dict[Kept, TensorFormat] = {}
        for (level, tensor), forms in options.items():
            form = least_costly_format(forms, self._ranks(tensor)) if tensor in unsettled else forms[0]
            if form is not None:
                formats[level, tensor] = form
        return _OpenFormats(formats, unsettled)

    def _ranks(self, tensor: str) -> tuple[str, ...]:
        """Ranks of a tensor, in the order of the einsum."""
        einsum = self.space.design.einsum
        return tuple(rank for rank in einsum.ranks if rank in einsum.tensor(tensor).ranks)


@dataclass(frozen=True, slots=True)
class _OpenFeatures:
    """Features of a set of strategies."""

    possible: tuple[Saf, ...]
    """Those that at least one strategy has."""
    sure: tuple[Saf, ...]
    """Those that all have."""
    levels: frozenset[int]
    """Where the strategies differ."""


@dataclass(frozen=True, slots=True)
class _OpenFormats:
    """Formats of a set of strategies."""

    least: dict[Kept, TensorFormat]
    """No mapping costs more with these than with those of any strategy."""
    open: frozenset[str]
    """Tensors whose formats the strategies do not agree on."""


def _cheapest(arch: Arch, bare: Arch, formats: _OpenFormats, features: _OpenFeatures) -> Arch:
    """The levels of `arch` at prices that no strategy undercuts; leakage and area are those of `bare`."""
    compared = features.levels | {saf.level for saf in features.possible if {saf.follower, *saf.leaders} & formats.open}
    idle_free = bool(formats.open or features.levels)
    levels: list[Level] = []
    for i, (level, plain) in enumerate(zip(arch.levels, bare.levels, strict=True)):
        free = {action for action, rule in ACTION_RULES.items() if formats.open and rule.needed_by == "formats"}
        free |= {action for action, rule in ACTION_RULES.items() if i in compared and rule.needed_by == "features"}
        block = level.block_size if formats.open else 1
        prices = least_prices(level.prices, free, idle_free=idle_free, block=block)
        prices["leak"] = plain.prices["leak"]
        block_size = 1 if formats.open else plain.block_size
        # features that only some strategies have give units work
        levels.append(replace(plain, prices=prices, min_utilization=0.0, block_size=block_size, rates=()))
    return replace(arch, levels=tuple(levels))


def _without_features(spec: Spec) -> Spec:
    return spec.model_copy(update={"sparse": {}})
