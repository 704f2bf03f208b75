"""All layers of a network mapped: equal ones once, different ones side by side, finished ones kept in a folder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

from sparseloop.evaluation.cache_key import evaluation_key
from sparseloop.evaluation.frames import pandas_frame, polars_frame
from sparseloop.evaluation.given_data import Pattern, with_patterns
from sparseloop.evaluation.result import Result
from sparseloop.input.diagnostics import check_arguments
from sparseloop.input.spec import Spec
from sparseloop.mapper.infeasibility import why_infeasible
from sparseloop.mapper.options import SearchOptions
from sparseloop.mapper.saved import DamagedFile, SavedSearches, search_from_record, search_record
from sparseloop.mapper.search import run_search
from sparseloop.mapper.task import Best, SearchTally, silent
from sparseloop.mapper.workers import WorkerPool, interruptible, nothing, was_interrupted, worker_pool

INTERRUPTED = "not searched (interrupted)"
LOST = "not searched: a worker process ended unexpectedly (out of memory?)"


# --- what is found ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerResult:
    """One layer with what was found for it."""

    spec: Spec
    name: str
    """As in the specification; of equal names the second is 'conv-2'."""
    best: Best | None = None
    """None: it was not searched, see `missing`."""
    same_as: str = ""
    """The equal layer that was searched in its place."""
    taken_from: str = ""
    """The folder in which its search was found finished."""
    why: tuple[str, ...] = ()
    """Why no valid mapping was found, in sentences."""
    missing: str = ""
    """Why it was not searched."""
    damaged: str = ""
    """A file of the folder that could not be used."""
    unsaved: str = ""
    """Why its search could not be kept in the folder."""
    on_data: Result | None = None
    """The best mapping, found with density models, evaluated with the zeros of given data."""

    @property
    def result(self) -> Result | None:
        """The best mapping evaluated, under the layer's own name; None if there is none."""
        found = self.best.result if self.best else None
        if found is None:
            return None
        named = replace(found.design.einsum, name=self.spec.workload.name)  # equal layers share their design
        return replace(found, design=replace(found.design, einsum=named))

    @property
    def interrupted(self) -> bool:
        """True if an interrupt ended its search, or came before it."""
        return self.missing == INTERRUPTED or (self.best is not None and self.best.stopped == "interrupted")

    @property
    def times(self) -> int:
        """How often it is run."""
        return self.spec.workload.times


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTotals:
    """Sums over the layers for which a mapping was found, run one after the other, each as often as it says."""

    layers: int
    of: int
    energy_pj: float
    cycles: float
    utilization: float
    """Of the whole time: every layer's counts for its cycles."""

    @property
    def edp(self) -> float:
        """Energy of all layers times cycles of all layers (pJ * cycles); not the sum of the layers' products."""
        return self.energy_pj * self.cycles


@dataclass(frozen=True, eq=False, repr=False)
class NetworkResult:
    """The layers of a network, in their order, each with its best mapping."""

    layers: tuple[LayerResult, ...]

    @property
    def complete(self) -> bool:
        """True if every layer has a mapping."""
        return all(layer.result is not None for layer in self.layers)

    def __repr__(self) -> str:
        totals = self.totals
        return f"<NetworkResult {totals.layers} of {totals.of} layers: {totals.energy_pj:.4g} pJ, {totals.cycles:.6g} cycles>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a line per layer, the totals, bars of the energy by layer and level."""
        from sparseloop.mapper.notebook_view import network_view

        return network_view(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per layer: name, energy, cycles, EDP, utilization, what is proven, what the search took."""
        from sparseloop.mapper.notebook_view import layer_rows

        return layer_rows(self)

    def to_pandas(self) -> Any:
        """The rows of `to_rows` as a `pandas.DataFrame` (extra `frames`)."""
        rows = self.to_rows()
        return pandas_frame(rows, list(rows[0]) if rows else ["layer"])

    def to_polars(self) -> Any:
        """The rows of `to_rows` as a `polars.DataFrame` (extra `frames`)."""
        rows = self.to_rows()
        return polars_frame(rows, list(rows[0]) if rows else ["layer"])

    def with_data(self, patterns: Mapping[str, Mapping[str, Pattern]]) -> NetworkResult:
        """The network with its mappings also evaluated with data: arrays by layer and tensor, zero where a word is zero."""
        layers = list(self.layers)
        for at, layer in enumerate(layers):
            result, mapping = layer.result, layer.best.mapping if layer.best else None
            if result is not None and mapping is not None and layer.name in patterns:
                layers[at] = replace(layer, on_data=with_patterns(result, mapping, patterns[layer.name]))
        return NetworkResult(tuple(layers))

    @cached_property
    def totals(self) -> NetworkTotals:
        """The sums over all layers that have a mapping."""
        return self._sums([(layer.times, layer.result) for layer in self.layers if layer.result is not None])

    @cached_property
    def data_totals(self) -> NetworkTotals | None:
        """The same with the zeros of data for the layers that have them; None if none has."""
        if all(layer.on_data is None for layer in self.layers):
            return None
        return self._sums([(layer.times, layer.on_data or layer.result) for layer in self.layers if layer.result is not None])

    def _sums(self, found: Sequence[tuple[int, Result | None]]) -> NetworkTotals:
        runs = [(times, result) for times, result in found if result is not None]
        cycles = sum(times * result.cycles for times, result in runs)
        return NetworkTotals(
            layers=len(runs),
            of=len(self.layers),
            energy_pj=sum(times * result.energy_pj for times, result in runs),
            cycles=cycles,
            utilization=sum(result.utilization * times * result.cycles for times, result in runs) / (cycles or 1.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkProgress:
    """How far the layers are."""

    done: int
    total: int
    searching: tuple[str, ...] = ()
    """Names of the layers under way."""
    finished: LayerResult | None = None
    """The layer that has just become known."""
    tally: SearchTally | None = None
    """Of the search under way in this process."""


NetworkWatch = Callable[[NetworkProgress], None]
"""Hears of every finished layer, of the searches that begin and of every batch in this process."""


def map_network(
    spec: Spec, options: SearchOptions | None = None, *, folder: str | Path = "", watch: NetworkWatch = silent
) -> NetworkResult:  # fmt: skip
    """The best mapping of every layer of a specification.

    `options` say what is minimized and how it is searched, as in `search`. Layers that are equal but for their names are searched
    once. With a `folder`, every finished search is kept there, and one that is found there is not done again. `watch` hears how
    it proceeds. With `workers` above 1 the layers are searched side by side (a script then needs `if __name__ == "__main__":`).
    An interrupt ends the searches under way with what they have. `totals` of the answer are over all layers and how often they
    run, in pJ and cycles. Raises `SpecError` for wrong options, and for a folder that cannot be written.

    >>> network = map_network(load("matmul.yaml"), SearchOptions(method="random", budget="500"))
    >>> [layer.name for layer in network.layers], network.complete
    (['einsum'], True)
    """
    check_arguments(map_network, locals())
    return _NetworkRun(list(spec.unmapped().per_layer()), options or SearchOptions(), str(folder), watch).run()


def map_machines(
    machines: Mapping[str, Spec], options: SearchOptions | None = None, *, folder: str | Path = "", watch: NetworkWatch = silent
) -> dict[str, NetworkResult]:  # fmt: skip
    """The best mapping of every layer on each of several machines, given by name; as `map_network`, all in one run.

    The layers of all machines share the workers and the folder.
    """
    check_arguments(map_machines, locals())
    parts = {machine: list(spec.unmapped().per_layer()) for machine, spec in machines.items()}
    run = _NetworkRun([layer for layers in parts.values() for layer in layers], options or SearchOptions(), str(folder), watch)
    names = {machine: unique_layer_names([layer.workload.name for layer in layers]) for machine, layers in parts.items()}
    run.names = [f"{machine}: {name}" for machine in parts for name in names[machine]]
    found, results, at = run.run().layers, dict[str, NetworkResult](), 0
    for machine in parts:
        own = found[at : at + len(names[machine])]
        plain = {f"{machine}: {name}": name for name in names[machine]}
        results[machine] = NetworkResult(
            tuple(replace(one, name=plain[one.name], same_as=plain.get(one.same_as, one.same_as)) for one in own)
        )
        at += len(own)
    return results


def unique_layer_names(names: Sequence[str]) -> list[str]:
    """The names of layers; of equal ones the second becomes 'conv-2'."""
    unique: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in unique or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name}-{number}"
        unique.append(candidate)
    return unique


# --- the run ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOutcome:
    """What came of one search, as data that crosses processes."""

    search: dict[str, Any]
    why: tuple[str, ...] = ()
    """Why nothing was found."""
    unsaved: str = ""
    """Why it could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualLayers:
    """Layers that are equal but for their names."""

    key: str
    members: tuple[int, ...]
    """Their places in the network."""

    @property
    def first(self) -> int:
        """The layer that is searched for all of them."""
        return self.members[0]


@final
class _NetworkRun:
    """The layers of one network: which of them are equal, and what is known so far."""

    def __init__(self, specs: Sequence[Spec], options: SearchOptions, folder: str, watch: NetworkWatch) -> None:
        self.options, self.folder, self.watch = options, folder, watch
        self.names = unique_layer_names([spec.workload.name for spec in specs])
        self.tasks = [options.task(spec) for spec in specs]
        members: dict[str, list[int]] = {}
        for i, spec in enumerate(specs):
            members.setdefault(evaluation_key(spec, options.settings), []).append(i)
        self.groups = [EqualLayers(key=key, members=tuple(places)) for key, places in members.items()]
        self.damaged: dict[str, str] = {}
        """By key, what is wrong with the file of a group."""
        self.layers: dict[int, LayerResult] = {}

    def run(self) -> NetworkResult:
        """First what is in the folder, then the searches."""
        waiting = [group for group in self.groups if not self._taken(group)]
        if self.options.workers > 1 and len(waiting) > 1:
            self._side_by_side(waiting)
        else:
            self._one_by_one(waiting)
        return NetworkResult(tuple(self.layers[i] for i in range(len(self.tasks))))

    # --- what is known --------------------------------------------------------------------------------------

    def _taken(self, group: EqualLayers) -> bool:
        """True if the folder has the search of these layers."""
        if not self.folder:
            return False
        try:
            record = SavedSearches(Path(self.folder)).read(group.key)
        except DamagedFile as damage:
            self.damaged[group.key] = str(damage)
            return False
        if record is not None:
            why = _why_nothing(search_from_record(record, self.tasks[group.first]))
            self._settle(group, LayerOutcome(search=record, why=why), taken=self.folder)
        return record is not None

    def _settle(self, group: EqualLayers, outcome: LayerOutcome | None, *, taken: str = "", missing: str = INTERRUPTED) -> None:
        """Makes known what came of equal layers; without an outcome, that they were not searched."""
        for i in group.members:
            first = i == group.first
            layer = LayerResult(
                spec=self.tasks[i].space.spec,
                name=self.names[i],
                best=search_from_record(outcome.search, self.tasks[i]) if outcome else None,
                same_as="" if first else self.names[group.first],
                taken_from=taken,
                why=outcome.why if outcome else (),
                missing="" if outcome else missing,
                damaged=self.damaged.get(group.key, "") if first else "",
                unsaved=outcome.unsaved if outcome else "",
            )
            self.watch(self._progress(finished=layer))
            self.layers[i] = layer

    def _progress(
        self, running: Sequence[EqualLayers] = (), *, finished: LayerResult | None = None, tally: SearchTally | None = None
    ) -> NetworkProgress:  # fmt: skip
        names = tuple(self.names[group.first] for group in running)
        done, total = len(self.layers), len(self.tasks)
        return NetworkProgress(done=done, total=total, searching=names, finished=finished, tally=tally)

    # --- searches -------------------------------------------------------------------------------------------

    def _one_by_one(self, waiting: Sequence[EqualLayers]) -> None:
        """In this process; an interrupt ends the search under way and leaves the rest out."""
        interrupted = False
        for group in waiting:
            outcome = None
            try:
                if not interrupted:
                    self.watch(self._progress([group]))
                    best = run_search(
                        self.tasks[group.first], lambda tally, g=group: self.watch(self._progress([g], tally=tally))
                    )
                    interrupted = best.stopped == "interrupted"
                    outcome = kept_outcome(best, group.key, self.folder)
                    outcome = replace(outcome, why=_why_nothing(best))
            except KeyboardInterrupt:
                interrupted = True
            self._settle(group, outcome)

    def _side_by_side(self, waiting: Sequence[EqualLayers]) -> None:
        """In worker processes, one layer each; workers left over help inside the layers."""
        count = min(self.options.workers, len(waiting))
        options = replace(self.options, workers=self.options.workers // count)
        left, running = deque(waiting), dict[Future[LayerOutcome | None], EqualLayers]()
        missing = INTERRUPTED
        with _layer_workers(count) as workers:
            try:
                while left or running:
                    while left and len(running) < count:
                        group = left.popleft()
                        spec = self.tasks[group.first].space.spec
                        running[workers.submit(_search_layer, spec, options, group.key, self.folder)] = group
                    self.watch(self._progress(list(running.values())))
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._settle(running[future], future.result())
                        del running[future]  # not before: an interrupt may come in between
            except KeyboardInterrupt:
                workers.interrupt(list(running))
            except BrokenProcessPool:
                missing = LOST
        begun = {group.key: future for future, group in running.items()}
        for group in waiting:
            if group.members[-1] not in self.layers:
                self._settle(group, _outcome_of(begun.get(group.key)), missing=missing)


def _outcome_of(future: Future[LayerOutcome | None] | None) -> LayerOutcome | None:
    """What is there when the workers have ended."""
    done = future is not None and future.done() and not future.cancelled() and future.exception() is None
    return future.result() if future is not None and done else None


def _why_nothing(best: Best) -> tuple[str, ...]:
    """Why no valid mapping was found; not looked into after an interrupt, because it takes seconds."""
    if best.top:
        return ()
    if best.stopped == "interrupted":
        return (f"interrupted before a mapping was found ({best.evaluated} evaluated)",)
    return tuple(why_infeasible(best).lines())


def kept_outcome(best: Best, key: str, folder: str) -> LayerOutcome:
    """A search as data, written into the folder if there is one and the search is finished."""
    record, unsaved = search_record(best), ""
    if folder and best.stopped != "interrupted":
        try:
            SavedSearches(Path(folder)).write(key, best.task.space.spec.workload.name, record)
        except OSError as error:
            unsaved = f"{folder}: {error.strerror}"
    return LayerOutcome(search=record, unsaved=unsaved)


# --- in a worker process ------------------------------------------------------------------------------------


def _layer_workers(count: int) -> AbstractContextManager[WorkerPool[None]]:
    """Workers that search one layer each."""
    return worker_pool(count, nothing, interruptible=True)


def _search_layer(_: None, spec: Spec, options: SearchOptions, key: str, folder: str) -> LayerOutcome | None:
    """One layer; None if an interrupt came before there was anything. What is found is kept before it is explained."""
    outcome = None
    if not was_interrupted():
        try:
            with interruptible():
                best = run_search(options.task(spec))
            outcome = kept_outcome(best, key, folder)
            with interruptible():
                outcome = replace(outcome, why=_why_nothing(best))
        except KeyboardInterrupt:
            pass
    return outcome
