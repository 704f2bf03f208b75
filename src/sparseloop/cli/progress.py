"""Progress on stderr: a line or a bar that is renewed while a command works; nothing if stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparseloop.cli.output import is_quiet
from sparseloop.input import terminal

if TYPE_CHECKING:
    from sparseloop.explore.codesign.search import CodesignProgress
    from sparseloop.explore.run import StudyTally


@contextmanager
def status_line(first: str) -> Generator[Callable[[str], None]]:
    """A line that shows whatever text it is given."""
    if not sys.stderr.isatty() or is_quiet():
        yield lambda text: None
        return
    with terminal.console(stderr=True).status(first) as status:
        yield lambda text: status.update(text)


@contextmanager
def codesign_progress() -> Generator[Callable[[CodesignProgress], None]]:
    """How a joint search proceeds."""
    with status_line("starting ...") as show:

        def watch(now: CodesignProgress) -> None:
            best = f"best {now.value:.6g}" if now.value < float("inf") else "nothing yet"
            bound = f", bound {now.lower_bound:.6g}" if now.lower_bound else ""
            show(f"{now.bounded} sets bounded, {now.open} open, {best}{bound} ({now.seconds:.0f} s)")

        yield watch


@contextmanager
def study_progress() -> Generator[Callable[[StudyTally], None]]:
    """How many points of a study are finished, as a bar."""
    if not sys.stderr.isatty() or is_quiet():
        yield lambda tally: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(stderr=True)) as bar:
        task = bar.add_task("starting ...", total=None)
        yield lambda tally: bar.update(task, total=tally.total, completed=tally.points, description=study_progress_line(tally))


def study_progress_line(tally: StudyTally) -> str:
    """'points, 61 % valid, best 1.04e+16, 480 evaluated, 96/s'."""
    from sparseloop.evaluation import humanize

    valid = humanize.percent_text(tally.valid / max(1, tally.points))
    best = f", best {tally.best:.4g}" if tally.valid else ""
    reused = f", {tally.reused} known" if tally.reused else ""
    rate = humanize.count_text(tally.evaluated / max(tally.seconds, 1e-9))
    return f"points, {valid} valid{best}, {tally.evaluated} evaluated{reused}, {rate}/s"
