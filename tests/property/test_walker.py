"""Every formula against the brute-force walker on real small tensors."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from sparseloop.model.density import Actual, Uniform
from sparseloop.model.design.mapping import Loop, LoopNest, Mapping
from sparseloop.model.design.sparse import Saf, Sparse
from sparseloop.model.plan import compile_plan
from sparseloop.model.traffic.dense import advances
from sparseloop.model.traffic.tiles import Tiles
from tests.property.compare import actual_differences, differences, model_counts, walk_counts, walker
from tests.property.specs import AFFINE, MATMUL, PLAIN, Case, cases, data, imperfect_cases, option_cases

EXACT = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=60,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
RANDOM = settings(EXACT, max_examples=20)
FRACTIONS = st.sampled_from([0.2, 0.5, 0.8])
SEEDS = st.integers(0, 2**32 - 1)


@EXACT
@given(cases((*PLAIN, *AFFINE), sparse=False), SEEDS)
def test_dense_counts(case: Case, seed: int) -> None:
    assert actual_differences(case, data(case, seed)) == {}


@EXACT
@given(imperfect_cases(), SEEDS)
def test_dense_counts_of_imperfect_factors(case: Case, seed: int) -> None:
    assert actual_differences(case, data(case, seed)) == {}


@EXACT
@given(option_cases(), SEEDS)
def test_dense_counts_without_sharing_or_reuse(case: Case, seed: int) -> None:
    assert actual_differences(case, data(case, seed)) == {}


@EXACT
@given(option_cases(PLAIN, sparse=True), SEEDS, FRACTIONS)
def test_features_without_sharing_or_reuse(case: Case, seed: int, fraction: float) -> None:
    # lists without a compressed rank merge their loops with the child's: how often such entries are looked at where
    # sharing or reuse is switched off is not modelled exactly
    assume(all(f.compressed for f in case.sparse.formats.values()))
    assert actual_differences(case, data(case, seed, fraction)) == {}


@EXACT
@given(cases(formats=False), SEEDS, FRACTIONS)
def test_gating_and_skipping_of_given_data(case: Case, seed: int, fraction: float) -> None:
    assert actual_differences(case, data(case, seed, fraction)) == {}


@settings(EXACT, max_examples=150)
@given(cases(), SEEDS, FRACTIONS)
def test_formats_and_metadata_of_given_data(case: Case, seed: int, fraction: float) -> None:
    assert actual_differences(case, data(case, seed, fraction)) == {}


@settings(EXACT, max_examples=100)
@given(cases(PLAIN), SEEDS, FRACTIONS)
def test_lists_of_non_empty_tiles_of_given_data(case: Case, seed: int, fraction: float) -> None:
    with pytest.MonkeyPatch.context() as patch:  # what large sparse patterns take, in chunks of a few entries
        patch.setattr("sparseloop.model.sparsity.known_patterns.is_better_listed", lambda plan, tensor: True)
        patch.setattr("sparseloop.model.sparsity.large_patterns.CHUNK", 5)
        assert actual_differences(case, data(case, seed, fraction)) == {}


# --- random densities ---------------------------------------------------------------------------------------

DRAWS = 150
LIMIT = 5.0
"""Standard errors. With about 4000 counts compared, strongly correlated, 5 is passed by chance once in 500 runs."""


def placed(shape: tuple[int, ...], nonzeros: int, rng: np.random.Generator) -> np.ndarray:
    """`nonzeros` elements placed uniformly at random."""
    flat = np.zeros(math.prod(shape), dtype=bool)
    flat[rng.choice(flat.size, nonzeros, replace=False)] = True
    return flat.reshape(shape)


def outliers(case: Case, models: dict[str, Uniform], seed: int, draws: int, metadata: bool) -> dict[str, float]:
    """Counts whose mean over `draws` differs from the model by more than LIMIT standard errors."""
    rng = np.random.default_rng(seed)
    walk = walker(case)
    expected = model_counts(case, models, metadata)  # type: ignore[arg-type]
    samples: dict[str, list[float]] = {name: [] for name in expected}
    for _ in range(draws):
        patterns = {n: placed(m.shape, round(m.density * m.total), rng) for n, m in models.items()}
        counts = walk_counts(case, walk.walk(patterns), metadata)
        for name, values in samples.items():
            values.append(counts.get(name, 0.0))
    far: dict[str, float] = {}
    for name, values in samples.items():
        mean, error = float(np.mean(values)), float(np.std(values)) / math.sqrt(draws)
        if len(set(values)) <= 3:  # rare events: the spread of the sample says nothing, take that of a single coin
            events = name.replace("decompress", "fills x").replace("compress", "updates x")
            whole = max(expected.get(events.rsplit(" ", 1)[0] + " total", 0.0), expected[name], 1e-12)
            chance = expected[name] / whole
            error = max(error, whole * math.sqrt(max(0.0, chance * (1 - chance)) / draws))
        if abs(mean - expected[name]) > LIMIT * error + 1e-9 * max(1.0, abs(mean)):
            far[name] = (mean - expected[name]) / max(error, 1e-12)
    return far


def check_random(case: Case, seed: int, fraction: float, metadata: bool) -> None:
    """Flagged counts must be flagged again with fresh draws, twenty times as many, to count."""
    models = {n: Uniform(case.data_shape(n), fraction) for n in case.problem.tensors}
    far = outliers(case, models, seed, DRAWS, metadata)
    if far:
        again = outliers(case, models, seed + 1, 20 * DRAWS, metadata)
        assert not set(far) & set(again), {name: again[name] for name in set(far) & set(again)}


@RANDOM
@given(cases(), SEEDS, FRACTIONS)
def test_random_densities(case: Case, seed: int, fraction: float) -> None:
    check_random(case, seed, fraction, metadata=True)


def turns_back(case: Case) -> bool:
    """True if a window keeps words over a step that is not its sweep's: such stays are approximated."""
    plan = compile_plan(case.einsum(), case.arch(), case.mapping.nest, case.sparse)
    tiles = Tiles(plan, case.mapping.bounds)
    for link in plan.links:
        moving = [p for p, s in enumerate(link.temporal) if s in link.relevant and tiles.bounds[s] > 1]
        if link.to_compute or plan.plain[link.tensor] or not moving:
            continue
        step = tuple(tiles.step(link.tensor, a, link.temporal[moving[0]]) for a in range(len(plan.axes[link.tensor])))
        size = tiles.size(link.tensor, tiles.inside(link.child))
        for advance in advances(tiles, link):
            keeps = tiles.bounds[advance.slot] > 1 and advance.fresh < size
            if keeps and any(advance.shift) and advance.shift != step:
                return True
    return False


@RANDOM
@given(cases(AFFINE, formats=False, blocks=False), SEEDS, FRACTIONS)
def test_random_densities_with_halos(case: Case, seed: int, fraction: float) -> None:
    assume(not turns_back(case))
    check_random(case, seed, fraction, metadata=False)


def test_the_comparison_can_fail() -> None:
    """Deliberately wrong rules are caught: the multicast group left out of the leader tile, the stay left out."""
    rng = np.random.default_rng(3)
    loops = (Loop(rank="m", level=0), Loop(rank="n", level=0, axis="x"), Loop(rank="k", level=1))
    nest = LoopNest(loops=loops, keep=(frozenset("ABZ"), frozenset("AB")))
    case = Case(
        problem=MATMUL,
        shape={"m": 4, "k": 4, "n": 4},
        mapping=Mapping(nest=nest, bounds=(4, 4, 4)),
        sparse=Sparse(formats={}, safs=(Saf(kind="skip", level=0, follower="A", leaders=("B",)),)),
        blocks=(1, 1),
    )
    patterns = {name: rng.random(case.data_shape(name)) < 0.1 for name in "ABZ"}
    assert actual_differences(case, patterns) == {}
    one_lane = replace(case, mapping=replace(case.mapping, nest=replace(nest, no_multicast=frozenset({(0, "A")}))))
    theirs = walk_counts(case, walker(case).walk(patterns))
    ours = model_counts(one_lane, {n: Actual(p) for n, p in patterns.items()})
    assert differences(ours, theirs)
