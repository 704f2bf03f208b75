"""The model and the walker side by side on one specification: what was compared, and what differs."""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sparseloop.model.cost.cost import Cost
from sparseloop.model.pipeline import evaluate_plan, plan_of
from sparseloop.validation.walker import Walk, Walker
from tests.property.fuzz.counting import Counts, laid_out, model_counts, total_of, walked_counts
from tests.property.fuzz.densities import Pattern, Words, sample
from tests.property.fuzz.specification import Operand, Specification
from tests.property.fuzz.spreading import Overlapping, interval_order

EXACT = 1e-9
ERRORS = 5.0
"""Standard errors that the mean of random draws may differ by."""
DRAWS, AGAIN = 120, 20
"""Draws of random tensors, and how many times as many a difference must survive."""

Model = Callable[[Specification], Cost]
Settled = Callable[[str], bool]
"""Count name to "a difference need not be seen twice": what is excused anyway."""


class Refused(Exception):
    """The specification is none that should be judged; the text says why."""


@dataclass(frozen=True)
class Difference:
    """One count that differs, or what was raised (then without values)."""

    name: str
    model: float = math.nan
    walker: float = math.nan
    error: float = 0.0
    """Standard error of the walker's mean; 0 for known patterns."""

    @property
    def crash(self) -> bool:
        """True if there is no count because the model raised."""
        return math.isnan(self.walker)

    def __str__(self) -> str:
        if self.crash:
            return self.name
        spread = f" ± {self.error:.3g}" if self.error else ""
        return f"{self.name}: model {self.model:.9g}, walker {self.walker:.9g}{spread}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison found."""

    compared: int = 0
    refused: str = ""
    differences: tuple[Difference, ...] = ()
    walked: Mapping[str, float] = field(default_factory=dict)
    """The walker's counts, or their means."""


def from_records(spec: Specification) -> Cost:
    """The cost by way of the model's records."""
    design = spec.design()
    assert design.mapping is not None
    plan = plan_of(design, design.mapping.nest)
    return evaluate_plan(plan, design.mapping.bounds, design.mapping.residuals)


def nothing(name: str) -> bool:
    """No count is settled."""
    return False


def judge(spec: Specification, seed: int, model: Model = from_records, settled: Settled = nothing) -> Verdict:
    """Compares all counts; what differs in random draws must differ again in `AGAIN` times as many fresh ones."""
    try:
        bench = Bench(spec)
    except Refused as reason:
        return _refusal(spec, model, str(reason))
    try:
        cost = model(spec)
        expected = model_counts(cost)
    except Refused as reason:
        return Verdict(refused=str(reason))
    except Exception as error:
        return Verdict(compared=1, differences=(Difference(_crash(error)),))
    if not laid_out(cost):
        return Verdict(compared=1, differences=(Difference("laid: the model finds no place for a format that can be laid"),))
    return bench.compare(expected, seed, settled)


def _refusal(spec: Specification, model: Model, reason: str) -> Verdict:
    """What the walker cannot lay out, the model must report as invalid, not crash on."""
    try:
        cost = model(spec)
        cost.status  # noqa: B018
    except Refused:
        return Verdict(refused=reason)
    except Exception as error:
        return Verdict(compared=1, differences=(Difference(_crash(error)),))
    if "too few ranks" in reason and laid_out(cost):
        return Verdict(compared=1, differences=(Difference("laid: the model finds a place for a format that cannot be laid"),))
    return Verdict(refused=reason)


def _crash(error: Exception) -> str:
    """Kind and place of what was raised, without numbers, so that equal faults have equal names."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "sparseloop" in f.filename and "tests" not in f.filename]
    place = f" in {frames[-1].filename.rpartition('/')[2]}:{frames[-1].name}" if frames else ""
    return f"crash: {type(error).__name__}{place}: {str(error)[:60]}"


class Bench:
    """The walker of one specification with what draws its tensors."""

    def __init__(self, spec: Specification) -> None:
        self.spec = spec
        einsum, mapping = spec.einsum(), spec.mapping()
        try:
            self.walker = Walker(einsum, [place.block for place in spec.places], mapping, spec.sparse, spec.machine())
        except ValueError as error:
            raise Refused(f"walker: {error}") from None
        self.words = dict[str, Words]()
        for tensor in spec.tensors:
            words = spec.words(tensor)
            order = self._order(tensor, words) if tensor.density.kind == "even" else words
            self.words[tensor.name] = Words(spec.data_shape(tensor), words, order)

    def _order(self, tensor: Operand, words: np.ndarray) -> np.ndarray:
        """The words in an order in which everything that is asked about is an interval; those that are not met come last."""
        if self.spec.makes_its_result:
            raise Refused("even: which words of the result are made depends on more than tiles")
        try:
            met = interval_order(self.walker.plan, tensor.name)
        except Overlapping as error:
            raise Refused(f"even: {error}") from None
        plan = self.walker.plan
        path, true = plan.paths[tensor.name], np.zeros(len(plan.points), dtype=np.int64)
        for axis, extent in zip(plan.points.true_word(path.tensor), self.spec.data_shape(tensor), strict=True):
            true = true * extent + axis
        place = dict(zip(path.word[path.inside].tolist(), true[path.inside].tolist(), strict=True))
        first = [place[word] for word in met.tolist() if word in place]
        return np.array(first + sorted(set(words.tolist()) - set(first)), dtype=np.int64)

    def walk(self, rng: np.random.Generator) -> Walk:
        """One draw of all tensors, walked."""
        drawn = [t for t in self.spec.tensors if not t.density.produced]
        own = [t for t in drawn if t.density.kind != "same"]
        data: dict[str, Pattern] = {t.name: sample(t.density, self.words[t.name], rng) for t in own}
        data |= {t.name: data[t.density.of] for t in drawn if t.density.kind == "same"}
        return self.walker.walk(data)

    def compare(self, expected: Counts, seed: int, settled: Settled) -> Verdict:
        """Known patterns once, random ones until it is sure."""
        rng = np.random.default_rng(seed)
        if self.spec.fixed:
            counts = walked_counts(self.spec, [self.walk(rng)])[0]
            found = [Difference(name, value, counts[name]) for name, value in expected.items() if name in counts]
            return Verdict(len(found), "", tuple(d for d in found if not _equal(d)), counts)
        flagged, means = self._outliers(expected, rng, DRAWS)
        doubtful = {d.name for d in flagged if not settled(d.name)}
        if doubtful:
            fresh = np.random.default_rng(seed + 1)
            again, means = self._outliers(expected, fresh, AGAIN * DRAWS)
            flagged = [d for d in flagged if d.name not in doubtful] + [d for d in again if d.name in doubtful]
        return Verdict(len(means), "", tuple(flagged), means)

    def _outliers(self, expected: Counts, rng: np.random.Generator, draws: int) -> tuple[list[Difference], Counts]:
        seen = walked_counts(self.spec, [self.walk(rng) for _ in range(draws)])
        flagged, means = list[Difference](), Counts()
        for name in seen[0].keys() & expected.keys():
            value, values = expected[name], [one[name] for one in seen]
            mean = means[name] = float(np.mean(values))
            error = float(np.std(values)) / math.sqrt(draws)
            if len(set(values)) <= 3:  # rare events: the spread of the sample says nothing, take that of a single coin
                whole = max(total_of(name, expected), value, 1e-12)
                chance = min(max(value / whole, 0.0), 1.0)
                error = max(error, whole * math.sqrt(chance * (1 - chance) / draws))
            if not _equal(Difference(name, value, mean)) and not abs(value - mean) <= ERRORS * error:
                flagged.append(Difference(name, value, mean, error))
        return flagged, means


def _equal(found: Difference) -> bool:
    return abs(found.model - found.walker) <= EXACT * max(1.0, abs(found.model), abs(found.walker))


def seed_of(text: str) -> int:
    """A number for a seed in words."""
    return random.Random(text).getrandbits(32)
