"""The mapspace of a specification: counted exactly, drawn from uniformly, listed, searched for members and neighbours.

A member has, for every rank, an ordered perfect factorization over its slots (a temporal slot per storage level, a spatial one
per mesh axis of every fanout), for every level an order of its temporal loops, and for every tensor the levels that hold it;
each obeys the constraints that concern it alone. What joins several of them is validity, not membership: the product of
spatial factors against the fanout, capacities, utilization, parallelism (`Mapspace.columns` reports them as status flags).
The order of the spatial loops of an axis is not free: as constrained, else as in the einsum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseloop.evaluation.evaluate import design_of, evaluate_batch
from sparseloop.input.diagnostics import Diagnostic, Natural, SpecError, check_arguments
from sparseloop.input.spec import Spec
from sparseloop.mapper.space.constraints import (
    Bypass,
    Keep,
    RankSpace,
    Rules,
    Template,
    bypasses,
    level_orders,
    rank_spaces,
    rules_of,
    spatial_ranks,
    switches,
)
from sparseloop.mapper.space.factorizations import Ints
from sparseloop.mapper.space.loop_orders import LevelOrder, OrderClasses, order_classes
from sparseloop.mapper.space.members import coordinates, distinct_chunks, neighbours
from sparseloop.model.cost.requirements import parallelism, status_of
from sparseloop.model.design import Design
from sparseloop.model.design.arch import Arch
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping, MappingBatch, Sample

CHUNK = 16384
TEMPLATES = 256
"""Most templates of a sample, unless the caller gives another number."""


def laid_on_loops(design: Design) -> bool:
    """True if every loop and its place matter: for rank formats, and for features that decide on whole blocks of words."""
    blocks = any(level.block_size > 1 for level in design.arch.storage)
    return bool(design.sparse.formats) or (bool(design.sparse.safs) and blocks)


def forwards(design: Design) -> bool:
    """True if some level passes words between neighbouring instances."""
    fanouts = (math.prod(design.arch.fanout(i)) for i in range(len(design.arch.storage)))
    return any(n > 1 and lv.network and lv.network.forwarding for n, lv in zip(fanouts, design.arch.storage, strict=True))


class TemplateNest(NamedTuple):
    """The loop nest of a template."""

    nest: LoopNest
    rows: Ints
    """For every loop of the nest its row among the loops of the mapspace."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Mapspace:
    """All mappings of a specification that its constraints admit; factors are arrays with one row per entry of `loops`."""

    spec: Spec
    design: Design
    """With the utilization that the constraints ask for."""
    padded: bool
    rules: tuple[Rules, ...]
    ranks: tuple[RankSpace, ...]
    orders: tuple[LevelOrder, ...]
    bypass: Bypass
    loops: tuple[Loop, ...]
    """All loops, in the order of the ranks, each rank's outermost first."""
    _nests: dict[Template, TemplateNest] = field(default_factory=dict[Template, TemplateNest], repr=False)

    def __repr__(self) -> str:
        return f"<Mapspace of {self.size} mappings under {self.template_count} templates>"

    # --- size -----------------------------------------------------------------------------------------------

    @cached_property
    def factor_count(self) -> int:
        """Number of choices of all factors."""
        return math.prod(space.factors.count for space in self.ranks)

    @cached_property
    def template_count(self) -> int:
        """Number of choices of orders and bypasses."""
        return math.prod(order.count for order in self.orders) * self.bypass.count

    @property
    def size(self) -> int:
        """Number of mappings: factors times orders times bypasses; orders of loops of bound 1 count."""
        return self.factor_count * self.template_count

    @cached_property
    def distinct_size(self) -> int:
        """Number of mappings when orders with the same traffic count once, and loops of bound 1 do not exist."""
        return sum(_distinct(self, keep) for keep in self.bypass.every())

    @cached_property
    def exact_classes(self) -> bool:
        """True if orders of one class give the same numbers, not only the same dense traffic up to halos.

        Halos, formats, features that look at whole blocks and forwarding networks see more of an order than the innermost
        run of irrelevant loops.
        """
        halo = any(len(axis.terms) > 1 for tensor in self.design.einsum.tensors for axis in tensor.axes)
        return not (halo or forwards(self.design) or laid_on_loops(self.design))

    def classes(self, keep: Keep) -> tuple[OrderClasses, ...]:
        """Per level the classes of orders: only tensors that wait at a level further inside see the order."""
        names = [space.rank for space in self.ranks]
        by_level: list[OrderClasses] = []
        for level, order in enumerate(self.orders):
            inner = frozenset[str]().union(*keep[level + 1 :])
            by_level.append(order_classes(order, names, [t.ranks for t in self.design.einsum.tensors if t.name in inner]))
        return tuple(by_level)

    # --- templates ------------------------------------------------------------------------------------------

    def templates(self) -> Iterator[Template]:
        """Every choice of orders and bypasses."""
        for keep in self.bypass.every():
            yield from _products(self.orders, keep)

    def drawn_template(self, rng: np.random.Generator) -> Template:
        """Orders and bypasses, uniformly."""
        chosen = tuple(options[int(rng.integers(len(options)))] for options in self.bypass.options.values())
        return Template(tuple(order.drawn(rng) for order in self.orders), self.bypass.keep(chosen))

    def nest(self, template: Template) -> TemplateNest:
        """The loop nest of a template; the same object for equal templates."""
        if template not in self._nests:
            if len(self._nests) >= 4096:
                self._nests.clear()
            row = {loop: i for i, loop in enumerate(self.loops)}
            loops: list[Loop] = []
            for level, order in enumerate(template.orders):
                loops += [Loop(rank=rank, level=level) for rank in order]
                spread = [
                    Loop(rank=r, level=level, axis=a) for a in ("y", "x") for r in spatial_ranks(self.design, self.rules[level])
                ]
                loops += [loop for loop in spread if loop in row]
            marks = switches(self.rules)
            nest = LoopNest(
                loops=tuple(loops),
                keep=template.keep,
                no_temporal_reuse=marks["no_temporal_reuse"],
                no_multicast=marks["no_multicast"],
                no_forwarding=marks["no_forwarding"],
            )
            self._nests[template] = TemplateNest(nest, np.array([row[loop] for loop in loops], dtype=np.int64))
        return self._nests[template]

    # --- factors --------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> tuple[slice, ...]:
        """Per rank its rows in an array of factors."""
        ends = np.cumsum([0, *(len(space.loops) for space in self.ranks)])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    def drawn_factors(self, count: int, rng: np.random.Generator) -> Ints:
        """Factors of all ranks, uniformly: shape (slots, count)."""
        return np.concatenate([np.empty((0, count), dtype=np.int64), *(space.factors.drawn(count, rng) for space in self.ranks)])

    def numbered_factors(self, numbers: range) -> Ints:
        """The choices of factors with consecutive numbers; the first rank is the fastest digit."""
        parts = [np.empty((0, len(numbers)), dtype=np.int64)]
        left: list[int] | Ints = np.arange(numbers.start, numbers.stop)
        for space in self.ranks:
            count = space.factors.count
            parts.append(space.factors.numbered(left % count))
            left = left // count
        return np.concatenate(parts)

    def legal(self, factors: Ints) -> npt.NDArray[np.bool_]:
        """Which columns are factors of this space."""
        fits = np.ones(factors.shape[1], dtype=bool)
        for space, rows in zip(self.ranks, self.rows, strict=True):
            fits &= space.factors.legal(factors[rows])
        return fits

    def batch(self, template: Template, factors: Ints) -> MappingBatch:
        """The mappings of one template with these factors; padded ones have residuals."""
        nest, rows = self.nest(template)
        residuals = self._residuals(factors) if self.padded else None
        return MappingBatch(nest=nest, bounds=factors[rows], residuals=None if residuals is None else residuals[rows])

    def _residuals(self, factors: Ints) -> Ints | None:
        """Last-pass bounds, the digits of size - 1 in the mixed radix of a rank's bounds, plus 1; None if nothing is padded."""
        last = factors.copy()
        for space, rows in zip(self.ranks, self.rows, strict=True):
            left = np.full(factors.shape[1], space.size - 1, dtype=np.int64)
            for row in reversed(range(rows.start, rows.stop)):
                last[row] = left % factors[row] + 1
                left //= factors[row]
        return None if bool((last == factors).all()) else last

    # --- drawing and listing --------------------------------------------------------------------------------

    def sample(self, count: Natural, seed: Natural = 0, *, templates: int | None = TEMPLATES) -> Sample:
        """Mappings drawn uniformly, grouped by template.

        Where the space has more than `templates` templates, that number is drawn first and shared out: every mapping is still
        uniform, but two of them may share a template more often than by chance (None: all independent).
        """
        check_arguments(Mapspace.sample, locals())
        if self.factor_count == 0 or self.bypass.count == 0:
            raise SpecError(
                [Diagnostic(path=("constraints",), message="the mapspace is empty: the constraints contradict each other")]
            )
        rng = np.random.default_rng(seed)
        factors = self.drawn_factors(count, rng)
        drawn = list(self.templates()) if self.template_count <= (templates or TEMPLATES) else []
        if not drawn:
            drawn = [self.drawn_template(rng) for _ in range(min(count, templates or count))]
        independent = templates is None and self.template_count > TEMPLATES
        which = np.arange(count) if independent else rng.integers(0, len(drawn), count)
        return self.gathered(drawn, which, factors)

    def gathered(self, templates: list[Template], which: Ints, factors: Ints) -> Sample:
        """The mappings with these factors under the templates numbered by `which`."""
        merged = {template: i for i, template in enumerate(dict.fromkeys(templates))}
        which = np.array([merged[template] for template in templates], dtype=np.int64)[which]
        order = np.argsort(which, kind="stable")
        ends = np.searchsorted(which[order], np.arange(len(merged) + 1))
        parts, places = list[MappingBatch](), np.empty(len(which), dtype=np.int64)
        places[order] = np.arange(len(which))
        for i, template in enumerate(merged):
            columns = order[ends[i] : ends[i + 1]]
            if len(columns):
                parts.append(self.batch(template, factors[:, columns]))
        return Sample(tuple(parts), places)

    def chunks(self, *, size: int = CHUNK) -> Iterator[MappingBatch]:
        """All mappings, template by template, in batches of at most `size`."""
        for template in self.templates():
            for start in range(0, self.factor_count, size):
                yield self.batch(template, self.numbered_factors(range(start, min(start + size, self.factor_count))))

    def enumerate(self) -> Iterator[Mapping]:
        """All mappings one by one."""
        for batch in self.chunks():
            yield from (batch[i] for i in range(len(batch)))

    def distinct_chunks(self, *, size: int = CHUNK) -> Iterator[MappingBatch]:
        """One mapping of every class (`distinct_size` in all), in batches of at most `size`; some may be small."""
        return distinct_chunks(self, size)

    # --- membership -----------------------------------------------------------------------------------------

    def __contains__(self, mapping: object) -> bool:
        return isinstance(mapping, Mapping) and coordinates(self, mapping) is not None

    def neighbours(self, mapping: Mapping) -> Sample:
        """The members one step away: a prime factor moved to another slot, two adjacent loops swapped, one bypass changed."""
        check_arguments(Mapspace.neighbours, locals())
        return neighbours(self, mapping)

    # --- evaluation -----------------------------------------------------------------------------------------

    def columns(self, batch: MappingBatch | Sample, keep: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
        """As `evaluate`, with the utilization and parallelism that the constraints ask for among the status flags."""
        check_arguments(Mapspace.columns, locals())
        columns = evaluate_batch(self.design, batch, keep)
        least = self.min_parallelism
        if "status" in columns and least:
            parts = batch.parts if isinstance(batch, Sample) else (batch,)
            used = np.concatenate([np.empty(0), *(used_share(part, self.design.arch) for part in parts)])
            used = used[batch.place] if isinstance(batch, Sample) else used
            columns["status"] = columns["status"] | status_of([parallelism(least, used)])
        return columns

    @cached_property
    def min_parallelism(self) -> float:
        """Share of the compute instances that the constraints want to be used."""
        return max((p.min_parallelism or 0.0 for rule in self.rules for p in (rule.level, rule.fanout)), default=0.0)


def mapspace(spec: Spec, *, padded: bool = False) -> Mapspace:
    """The mapspace of a specification; `padded` also admits sizes that use the lanes of a fanout in the fewest passes."""
    check_arguments(mapspace, locals())
    spec = spec.unmapped()
    design = design_of(spec)
    if padded and (names := [t.name for t in design.einsum.tensors if design.einsum.has_padding(t)]):
        message = f"imperfect factors are not modelled where a tensor has padding, as {names[0]} has"
        raise SpecError([Diagnostic(message=message, hint="search without padded sizes")])
    rules = rules_of(spec)
    ranks = rank_spaces(design, rules, padded=padded)
    return Mapspace(
        spec=spec,
        design=replace(design, arch=_utilized(design.arch, rules)),
        padded=padded,
        rules=rules,
        ranks=ranks,
        orders=level_orders(ranks, rules),
        bypass=bypasses(design, rules),
        loops=tuple(loop for space in ranks for loop in space.loops),
    )


def _utilized(arch: Arch, rules: tuple[Rules, ...]) -> Arch:
    """The machine with the least utilization that levels and constraints ask for."""
    levels = list(arch.levels)
    for i, rule in enumerate(rules):
        if (wanted := rule.level.min_utilization) is not None and wanted > levels[i].min_utilization:
            levels[i] = replace(levels[i], min_utilization=wanted)
    return replace(arch, levels=tuple(levels))


def _products(orders: tuple[LevelOrder, ...], keep: Keep) -> Iterator[Template]:
    """All combinations of orders, the innermost level fastest; lazily."""

    def extended(done: tuple[tuple[str, ...], ...]) -> Iterator[Template]:
        if len(done) == len(orders):
            yield Template(done, keep)
            return
        for order in orders[len(done)].every():
            yield from extended((*done, order))

    return extended(())


def used_share(batch: MappingBatch, arch: Arch) -> npt.NDArray[np.float64]:
    """Share of the compute instances that every mapping uses. Shape: (mappings,)."""
    spatial = [i for i, loop in enumerate(batch.nest.loops) if loop.spatial]
    return batch.bounds[spatial].prod(axis=0) / arch.compute.instances


def _distinct(space: Mapspace, keep: Keep) -> int:
    """Sum over the sets of loops that exist: ways to choose the factors times classes of orders, rank by rank.

    States are what is left of every level's table of class counts when the first ranks are settled; equal ones merge.
    """
    by_level = space.classes(keep)
    bits = len(space.ranks)
    tables = {
        level: tuple(c.count(loops) for loops in range(1 << bits))
        for level, c in enumerate(by_level)
        if max(map(len, c.representatives.values())) > 1
    }
    index = {level: i for i, level in enumerate(tables)}
    states: dict[tuple[tuple[int, ...], ...], int] = {tuple(tables.values()): 1}
    for rank in space.ranks:
        after: dict[tuple[tuple[int, ...], ...], int] = {}
        for pattern, ways in rank.factors.patterns(index).items():
            for state, count in states.items():
                left = tuple(table[pattern >> i & 1 :: 2] for i, table in enumerate(state))
                after[left] = after.get(left, 0) + ways * count
        states = after
    return sum(count * math.prod(table[0] for table in state) for state, count in states.items())
