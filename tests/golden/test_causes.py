"""Faults named for a difference of which nobody gives the label: how often the name is one of the corpus's labels."""

from __future__ import annotations

from itertools import islice

from sparseloop.validation.timeloop.causes import causes
from sparseloop.validation.timeloop.compare import evaluate_case
from sparseloop.validation.timeloop.corpus import COMMITTED, read_cases
from sparseloop.validation.timeloop.exceptions import REJECTED
from sparseloop.validation.timeloop.faults import known_faults, labels_of

EVERY = 8
ONE_OF = 0.85
"""Share of the labelled differences for which the names, up to a dozen of them, hold a label."""
SURE = 0.92
"""The same where a reading was recomputed. Others: Q7's price gives their number also where a label says Q41 or Q42, which
move accesses between classes that cost the same there."""


def test_named_faults_are_mostly_the_labelled_ones() -> None:
    of_label = {
        label: {fault.name for fault in known_faults() if label in fault.labels} for f in known_faults() for label in f.labels
    }
    found = [0, 0]
    sure = [0, 0]
    for case in islice(read_cases(COMMITTED), 0, None, EVERY):
        if case.id in REJECTED:
            continue
        evaluation = evaluate_case(case)
        for figure in evaluation.figures:
            ours = figure.ours if figure.sound is None else figure.sound
            labels = {name for label in labels_of(case, figure) for name in of_label[label]}
            if not labels or not figure.differs_from(ours):
                continue
            named = causes(evaluation, figure)
            hit = not labels.isdisjoint(cause.name for cause in named)
            found = [found[0] + hit, found[1] + 1]
            if any(cause.sure for cause in named):
                sure = [sure[0] + hit, sure[1] + 1]
    assert found[0] >= ONE_OF * found[1] > 500
    assert sure[0] >= SURE * sure[1] > 200
