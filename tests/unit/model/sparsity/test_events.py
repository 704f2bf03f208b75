"""The split of events into actual, gated, skipped and absent ones, in both of its forms."""

from __future__ import annotations

import numpy as np
import pytest

from sparseloop.model.sparsity.events import EVENT_CLASSES, NO_EVENTS, EventCounts, EventPart, EventParts, mixed_events

PART = EventPart(count=100.0, outer=0.8, local=0.5, inherited=0.4, gates=0.25)
SPLIT = {"total": 100.0, "actual": 25.0, "gated": 15.0, "skipped": 30.0, "absent": 30.0}


def numbers(split: EventParts | EventCounts) -> dict[str, float]:
    return {name: getattr(split, name) for name in EVENT_CLASSES}


def test_a_part_split_by_hand() -> None:
    """Of 100 events 80 pass the outer conditions, 50 the link's own, 40 the inherited ones, 25 the gates."""
    split = EventParts((PART,))
    assert numbers(split) == pytest.approx(SPLIT)
    assert split.busy == pytest.approx(40.0)
    assert split.actual + split.gated + split.skipped + split.absent == pytest.approx(split.total)


def test_equal_conditions_remove_exactly_nothing() -> None:
    share = 0.1 + 0.2
    split = EventParts((EventPart(3.0, share, share, share, share),))
    assert (split.gated, split.skipped) == (0.0, 0.0)


def test_thinned_skips_the_rest() -> None:
    split = EventParts((PART,)).thinned(0.5, 1.0)
    assert numbers(split) == pytest.approx({"total": 100, "actual": 12.5, "gated": 7.5, "skipped": 55, "absent": 25})


def test_thinned_gates_what_keeps_its_time() -> None:
    """Of the 25 that happened half are gated too: nothing is skipped or lost for it."""
    split = EventParts((PART,)).thinned(1.0, 0.5)
    assert numbers(split) == pytest.approx(SPLIT | {"actual": 12.5, "gated": SPLIT["gated"] + 12.5})


def test_both_forms_add_and_scale_alike() -> None:
    parts = EventParts((PART,))
    other = EventParts((EventPart(8.0, 1.0, 1.0, 1.0, 0.5),))
    for first, second in ((parts, other), (parts.counts(), other), (parts, other.counts()), (parts.counts(), other.counts())):
        both = (first + second) * 2.0
        assert numbers(both) == pytest.approx({name: 2 * (SPLIT[name] + getattr(other, name)) for name in EVENT_CLASSES})
        assert both.busy == pytest.approx(2 * (40.0 + 8.0))


def test_no_events_is_neutral_and_stays_so() -> None:
    """It is shared: what was read of it once must not turn sums with it into another form."""
    assert numbers(NO_EVENTS) == dict.fromkeys(EVENT_CLASSES, 0.0)
    assert isinstance(NO_EVENTS + EventParts((PART,)), EventParts)


def test_a_mixture_is_made_number_by_number() -> None:
    first, second = EventParts((PART,)), EventParts((EventPart(np.array([8.0, 16.0]), 1.0, 1.0, 1.0, 0.5),))
    mixed = mixed_events(lambda values: 0.25 * values[0] + 0.75 * values[1], [first, second])
    assert isinstance(mixed, EventCounts)
    np.testing.assert_allclose(mixed.actual, 0.25 * 25 + 0.75 * np.array([4.0, 8.0]))
    np.testing.assert_allclose(mixed.busy, mixed.actual + mixed.gated)
