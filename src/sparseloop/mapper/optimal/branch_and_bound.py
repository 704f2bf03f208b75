"""The best mapping of a mapspace with a proof: bounds over chains of tiles, the model on what they leave over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import final

import numpy as np

from sparseloop.mapper.batch_evaluator import BatchEvaluator, Glance, batch_evaluator, portions
from sparseloop.mapper.optimal.completion import Completion
from sparseloop.mapper.optimal.cost_to_go import CostToGo
from sparseloop.mapper.optimal.effort import BudgetSpent, Effort, TooManyChains
from sparseloop.mapper.optimal.heuristics import COLUMNS, ROUND, Heuristics
from sparseloop.mapper.optimal.incumbent import incumbent_of
from sparseloop.mapper.optimal.level_choices import LevelChoices
from sparseloop.mapper.optimal.lower_bounds import LowerBounds
from sparseloop.mapper.optimal.quantities import CostBound, Flags, Floats
from sparseloop.mapper.optimal.states import TileChains
from sparseloop.mapper.optimal.tile_chains import BEAM, ChainSearch
from sparseloop.mapper.optimal.tile_table import TileTable
from sparseloop.mapper.searchers import Exhaustive, smallest_tiles
from sparseloop.mapper.space.constraints import Keep
from sparseloop.mapper.space.factorizations import divisors
from sparseloop.mapper.task import CHUNK, Batch, Best, Certificate, SearchTally, Task, Watch, silent

FAR, WARM_UP = 2.0, 8
"""If the best dive costs more than FAR times the lower bound, the heuristics get WARM_UP turns before the proof begins."""
DIVES, DIVERS, WIDTH = 8, 8, 2
"""Choices of bypasses to dive into, chains of each, and orders of a chain that a dive looks at."""
WIDER = (8, 32)
"""Further dives into the best choice of bypasses keep so many times as many transitions."""
ORDERING = 0.25
"""Share of a budget of time after which choices of bypasses are no longer bounded before the search begins."""
LIMITS = (1.25, 2.0, 4.0, 10.0)
"""Multiples of the lowest bound up to which mappings are looked for, one after the other, while none is known."""
STEPS = (0.25, 0.5, 0.75)
"""Shares of the way from the lowest bound to the best known value up to which mappings are looked for, one after the other."""
CHEAP = 1 << 21
"""Columns of a step after which the next one leads to the best known value."""
CLOSE = 1.03
"""No steps where the best known value is within this multiple of the lowest bound."""
SMALL = 16384
"""Spaces of at most that many mappings are simply evaluated."""
PORTIONS = (16, 4096)
"""Chains completed at a time: few at first, so that the best known mapping soon is the best."""
EAGER = 4
"""Portions evaluated at once; later ones wait for more chains with the same orders."""
PARTS = 4
"""Parts that a choice of bypasses is cut into where its chains need too much memory."""
BASE_BYTES, BYTES, LEAST_ROOM = 250_000_000, 220, 1 << 16
"""Memory of the program itself, and of a transition while it is sorted; transitions for which there always is room."""
LAST_TRIES = 8
"""Batches of likely mappings where a budget ends before any valid mapping is known."""
GLANCE, GLANCES = 0.1, 100
"""Seconds between looks at a budget of time while mappings are evaluated, or one in so many parts of a long one."""


@dataclass(slots=True)
class Part:
    """A choice of bypasses, or the tiles of some levels under it, with a lower bound of what it costs."""

    keep: Keep
    least: float
    """The first part of the objective."""
    bound: CostBound
    """Arrays of one."""
    only: Mapping[int, Flags] = field(default_factory=dict[int, Flags])
    """Tiles of a level that belong to the part; other levels: all."""


@dataclass(frozen=True, slots=True)
class KnownCosts:
    """What lies outside of every tile, for one part."""

    part: Part
    costs: CostToGo


@final
class BranchAndBound:
    """One proof."""

    def __init__(self, task: Task, evaluator: BatchEvaluator, watch: Watch) -> None:
        self.task, self.space, self.evaluator, self.watch = task, task.space, evaluator, watch
        self.tally = SearchTally(task)
        self.incumbent = incumbent_of(task, self.tally)
        self.heuristics = Heuristics(task, self.tally, self.evaluate)
        room = max(LEAST_ROOM, (task.budget.memory_bytes - BASE_BYTES) // BYTES)
        self.effort = Effort(self.spent, self.heuristics.keep_up, room)
        self.pruned = {"bypass": 0, "capacity": 0, "bound": 0, "chain": 0, "order": 0}
        """Mappings excluded under the present limit, as in `Certificate.pruned`."""
        self.open: list[Part] = []
        """Parts about which nothing is proven yet under the present limit."""
        self.every: list[Part] = []
        """All parts."""
        self.known: deque[KnownCosts] = deque(maxlen=DIVES)
        """Of the last parts."""
        self.finished = self.short_of_memory = False
        seconds = self.task.budget.seconds
        self.glance = Glance(None, CHUNK) if seconds is None else Glance(max(GLANCE, seconds / GLANCES), ROUND)

    @cached_property
    def table(self) -> TileTable:
        """All tiles of the shape; not for spaces that are simply evaluated."""
        ranks, sizes = [rank.rank for rank in self.space.ranks], [rank.size for rank in self.space.ranks]
        return TileTable(self.space.design, ranks, sizes, [divisors(size) for size in sizes])

    # --- evaluation -----------------------------------------------------------------------------------------

    def spent(self) -> bool:
        """True once the budget is, or enough is known."""
        budget = self.task.budget
        if self.tally.top and self.tally.top[0].values[0] < self.task.enough:
            return True
        late = budget.seconds is not None and self.tally.seconds >= budget.seconds
        return late or (budget.mappings is not None and self.tally.evaluated >= budget.mappings)

    def evaluate(self, batch: Batch) -> Floats:
        """The objective of a batch, taken into the tally; inf where it is not valid. `BudgetSpent` once the budget is."""
        costs: list[Floats] = []
        for portion in portions(batch, self.glance):
            begun = self.tally.seconds
            columns = self.evaluator.columns(portion, self.evaluator.begin(portion))
            self.tally.add(portion, columns)
            self.watch(self.tally)
            costs.append(np.where(columns["status"] == 0, self.task.goal.objective.scalars(columns), np.inf))
            self.glance.took(len(portion), self.tally.seconds - begun)
            if self.spent():
                raise BudgetSpent
        return np.concatenate([np.empty(0), *costs])

    def _evaluate_chains(self, completion: Completion, chains: TileChains) -> None:
        for sample in completion.samples(chains):
            self.evaluate(sample)

    def warm_up(self) -> None:
        """Incumbents by the heuristics."""
        for _ in range(WARM_UP):
            self.heuristics.turn()

    def _some_answer(self) -> None:
        """A mapping where the budget ended before any valid one was met; for that it may take the same time once more."""
        seconds, begun = self.task.budget.seconds, self.tally.seconds
        for attempt in range(LAST_TRIES):
            if self.tally.top or (seconds is not None and self.tally.seconds - begun > seconds):
                return
            batch = smallest_tiles(self.space, self.glance.mappings, self.task.seed + attempt)
            self.tally.add(batch, self.evaluator.columns(batch, self.evaluator.begin(batch)))

    def _dive(self, search: ChainSearch, beam: int) -> None:
        """Better incumbents: the mappings that the bounds think best, of few chains of tiles."""
        search.forward(beam)
        completion = Completion(search, width=WIDTH)
        for chains in islice(search.complete(DIVERS, DIVERS), 1):
            self._evaluate_chains(completion, chains)

    # --- the proof ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the best mapping is proven, or the budget spent."""
        try:
            if self.space.padded or not self.space.ranks or self.space.size <= SMALL:
                self._exhaust()
            else:
                self._prove_all()
        except BudgetSpent:
            if not self.tally.top and self.tally.seconds > 0:
                self._some_answer()

    def _exhaust(self) -> None:
        """Small spaces, and padded ones, whose tiles the bounds do not describe."""
        searcher = Exhaustive(self.space, self.task.seed)
        while (batch := searcher.ask(self.glance.mappings)) is not None:
            self.effort.add(len(batch) * COLUMNS)
            self.evaluate(batch)
        self.finished = searcher.complete

    def _prove_all(self) -> None:
        """Goes through all choices of bypasses, the most promising first."""
        nothing = CostBound(np.zeros(1), np.zeros(1))
        computes = CostBound(*self._bounds(next(self.space.bypass.every())).floor(*nothing))
        self._raise_lower_bound(float(self.incumbent.score(*computes)[0]))
        choices = LevelChoices(self.space, self.table, self.effort)
        self.every = self._bypass_choices(choices, computes)
        least = min(part.least for part in self.every)
        self._raise_lower_bound(least)
        if least < self.task.below:
            self._first_incumbents(choices, least)
        self._deepen(choices)

    def _first_incumbents(self, choices: LevelChoices, least: float) -> None:
        for part in self.every[:DIVES]:
            self._dive(self._chain_search(choices, part), BEAM)
        self.heuristics.climb()
        for width in WIDER:
            if self._known > CLOSE * least:
                self._dive(self._chain_search(choices, self.every[0]), width * BEAM)
                self.heuristics.climb()
        if self._known > FAR * least:
            self.warm_up()
            self.heuristics.climb()

    @property
    def _known(self) -> float:
        """What a mapping must undercut, in the first part of the objective."""
        return min(self.task.below, self.incumbent.worst[0] if self.incumbent.worst else np.inf)

    def _deepen(self, choices: LevelChoices) -> None:
        """Proofs under limits that rise until something is found below them: a poor incumbent excludes little."""
        for limit in self._limits():
            self.incumbent.limit, self.pruned = limit, dict.fromkeys(self.pruned, 0)
            self.open = sorted(self.every, key=lambda part: part.least)
            while self.open:
                self._prove(choices, self.open[0])
                del self.open[0]
            limit = self.incumbent.limit
            if limit >= self._known:
                self.finished = True
                return
            self._raise_lower_bound(limit)
            if self.short_of_memory:
                return

    def _raise_lower_bound(self, bound: float) -> None:
        """Nothing is better than this."""
        if self.incumbent.deciding and bound > 0:
            self.tally.lower_bound = max(bound, self.tally.lower_bound or 0.0)
            self.watch(self.tally)

    def _limits(self) -> Iterator[float]:
        """Up to the best known value; from then on it limits by itself."""
        least = min(part.least for part in self.every)
        if self.incumbent.deciding and least > 0:
            factors, steps = iter(LIMITS), iter(STEPS)
            begun, paid = self.effort.columns, 0
            while self._known > CLOSE * least and paid < CHEAP:
                if np.isfinite(self._known):
                    step = next(steps, None)
                    limit = None if step is None else least + step * (self._known - least)
                else:
                    factor = next(factors, None)
                    limit = None if factor is None else factor * least
                if limit is None:
                    break
                yield limit
                paid = self.effort.columns - begun
        yield self.task.below

    def _chain_search(self, choices: LevelChoices, part: Part) -> ChainSearch:
        known = next((one.costs for one in self.known if one.part is part), None)
        bounds = known.bounds if known else self._bounds(part.keep, part.only)
        search = ChainSearch(bounds, choices, self.incumbent, self.effort, known)
        if known is None:
            self.known.append(KnownCosts(part, search.cost_to_go))
        return search

    def _bypass_choices(self, choices: LevelChoices, computes: CostBound) -> list[Part]:
        """All choices of bypasses, the most promising first; last those for whose bounds a budget of time leaves no room."""
        limit = self.task.budget.seconds
        bounded: list[Part] = []
        unknown: list[Part] = []
        for keep in self.space.bypass.every():
            if limit is None or not bounded or self.tally.seconds < ORDERING * limit:
                bounded.append(self._part(keep, CostToGo(self._bounds(keep), choices, self.effort).floor()))
            else:
                unknown.append(self._part(keep, computes))
        return [*sorted(bounded, key=lambda part: part.least), *unknown]

    def _part(self, keep: Keep, bound: CostBound) -> Part:
        return Part(keep, float(self.incumbent.score(*bound)[0]), bound)

    def _bounds(self, keep: Keep, only: Mapping[int, Flags] | None = None) -> LowerBounds:
        return LowerBounds(self.space, self.table, keep, timed=self.incumbent.timed, only=only)

    def _prove(self, choices: LevelChoices, part: Part) -> None:
        """One part: everything in it is excluded by bounds or evaluated; or it is cut into parts that are open now."""
        orders = self.space.template_count // self.space.bypass.count
        search = None
        if not self.incumbent.beats(*part.bound)[0]:
            search = self._chain_search(choices, part)
            part.bound = search.cost_to_go.floor()
            part.least = float(self.incumbent.score(*part.bound)[0])
        if search is None or self.incumbent.beats(*part.bound)[0]:
            self.pruned["bypass"] += self.space.factor_count * orders
            return
        try:
            search.forward()
        except TooManyChains as many:
            self._cut(part, search, many)
            return
        completion = Completion(search)
        self._evaluate_all(search, completion)
        for name, count in search.pruned.items():
            self.pruned[name] += int(count) * orders
        self.pruned["order"] += completion.pruned

    def _cut(self, part: Part, search: ChainSearch, many: TooManyChains) -> None:
        """Parts of a part, by the tiles of one level, the most promising first; a lower limit where it is one tile already."""
        outside = search.cost_to_go.outside[many.level].energy
        reached = np.flatnonzero(many.reached)
        groups = np.array_split(reached[np.argsort(outside[reached], kind="stable")], PARTS)
        cut = [group for group in groups if len(group)]
        if len(cut) < 2:
            self.incumbent.limit = (min(self.incumbent.limit, self._known) + part.least) / 2
            self.short_of_memory = True
            self.open.insert(1, part)
            return
        labels = np.zeros(self.table.count, dtype=np.int64)
        for label, group in enumerate(cut):
            labels[group] = label
        before = part.only.get(many.level, np.ones(self.table.count, dtype=bool))
        parts = [replace(part, only={**part.only, many.level: before & (labels == label)}) for label in range(len(cut))]
        self.open[1:1] = parts
        self.every = [*(one for one in self.every if one is not part), *parts]

    def _evaluate_all(self, search: ChainSearch, completion: Completion) -> None:
        """Evaluates what the bounds leave over."""
        waiting: list[TileChains] = []
        for i, chains in enumerate(search.complete(*PORTIONS)):
            waiting.append(chains)
            if i < EAGER or sum(map(len, waiting)) >= PORTIONS[1]:
                self._evaluate_chains(completion, TileChains.concatenated(waiting))
                waiting = []
        if waiting:
            self._evaluate_chains(completion, TileChains.concatenated(waiting))

    # --- the outcome ----------------------------------------------------------------------------------------

    def best(self, stopped: str) -> Best:
        """The outcome."""
        if self.open and not self.finished:
            self._raise_lower_bound(min(self.incumbent.limit, *(part.least for part in self.open)))
        best = self.tally.best(stopped, complete=self.finished)
        if self.finished and (best.value is None or best.value >= self.task.below):
            below = self.task.below if np.isfinite(self.task.below) else None
            best = replace(best, lower_bound=below, proven_optimal=False)
        if not self.finished and self.tally.lower_bound is not None:
            best = replace(best, lower_bound=min(self.tally.lower_bound, np.inf if best.value is None else best.value))
        open_choices = len({part.keep for part in self.open}) or 1
        left = 0 if self.finished else self.space.size // max(1, self.space.bypass.count) * open_choices
        proof = Certificate(covered=self.space.size - left, pruned=self.pruned, evaluated=self.tally.evaluated, left=left)
        return replace(best, certificate=proof)


def provable(task: Task) -> bool:
    """True if a proof can come about: bounds exclude something, or the space is small enough to be evaluated."""
    bounded = incumbent_of(task, SearchTally(task)).deciding and not task.space.padded
    return bounded or task.space.size <= SMALL


def optimal(task: Task, watch: Watch = silent) -> Best:
    """The provably best mapping; when budget or memory end first, the best one known and a lower bound."""
    with batch_evaluator(task) as evaluator:
        search = BranchAndBound(task, evaluator, watch)
        stopped = "done"
        try:
            if task.space.size:
                search.run()
        except KeyboardInterrupt:
            stopped = "interrupted"
    if stopped == "done" and not search.finished and task.space.size:
        stopped = "memory" if search.short_of_memory and not search.spent() else "budget"
    return search.best(stopped)
