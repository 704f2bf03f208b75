"""Whatever is given: a result or a `SpecError` that says where; no other exception, no hanging."""

from __future__ import annotations

import contextlib
import json
import random
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sparseloop as sl
from tests.property.mutations import mutant

NAME = "mutant.yaml"
DEADLINE = 60
"""Seconds for one input, far above what any needs: it catches endless loops, not slow machines."""
PLACELESS = ("error: the specification", "error: no 'problem'", "error: no 'architecture'")
"""What is missing altogether stands nowhere."""
SHORT = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=20_000, derandomize=False, deadline=None, suppress_health_check=list(HealthCheck))


@contextlib.contextmanager
def ends() -> Iterator[None]:
    """Fails if what is inside takes longer than the deadline."""

    def late(*_: object) -> None:
        pytest.fail(f"still running after {DEADLINE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def lawful(text: str) -> bool:
    """True for a result, False for a mistake that is well reported."""
    try:
        for spec in sl.loads(text, name=NAME).per_layer():
            json.dumps(sl.evaluate(spec).to_dict(), allow_nan=False)
    except sl.SpecError as error:
        mistakes = [d for d in error.diagnostics if d.severity == "error"]
        assert mistakes
        for mistake in mistakes:
            first = mistake.render().partition("\n")[0]
            assert "error: " in first
            assert first.startswith((f"{NAME}:", *PLACELESS)), first
        return False
    return True


@SHORT
@given(st.randoms(use_true_random=False))
def test_mutants(rng: random.Random) -> None:
    with ends():
        lawful(mutant(rng))


@pytest.mark.slow
@LONG
@given(st.integers(0, 2**64))
def test_many_mutants(seed: int) -> None:
    with ends():
        lawful(mutant(random.Random(seed)))


@SHORT
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_any_text(text: str) -> None:
    with ends():
        assert not lawful(text)


def test_the_mutations_reach_the_model() -> None:
    """Some mutants are still specifications; else the test would only test the reader."""
    outcomes = [lawful(mutant(random.Random(seed))) for seed in range(60)]
    assert 3 < sum(outcomes) < 55
