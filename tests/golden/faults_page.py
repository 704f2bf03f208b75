"""The tables of docs/timeloop_faults.md, out of what `sparseloop validate timeloop` says.

python -m tests.golden.faults_page        # writes them into the page
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from sparseloop.validation.records import ExternalData, FindingsTable
from sparseloop.validation.timeloop.target import AGREEMENT, EXPLAINED, FAULTS, LEFT_OUT, TARGET

PAGE = Path(__file__).parents[2] / "docs" / "timeloop_faults.md"
TITLES = {"faults": FAULTS, "agreement": AGREEMENT, "left out": LEFT_OUT, "explained": EXPLAINED}
PERCENT = frozenset({"share", "within 0.001"})


def table(given: FindingsTable) -> str:
    """A table in Markdown."""
    lines = [given.columns, tuple("---" for _ in given.columns)]
    lines += [tuple(map(_cell, given.columns, row)) for row in given.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(column: str, value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return re.sub(r"([*|_])", r"\\\1", value)
    return (
        f"{100 * value:.2f} %"
        if column in PERCENT
        else f"{value:,}".replace(",", " ")
        if isinstance(value, int)
        else f"{value:.3g}"
    )


def written(text: str, tables: tuple[FindingsTable, ...]) -> str:
    """The page with these tables between its marks."""
    by_title = {one.title: one for one in tables}
    for mark, title in TITLES.items():
        text = _between(text, mark, lambda _, title=title: table(by_title[title]))
    return text


def _between(text: str, mark: str, made: Callable[[str], str]) -> str:
    start, end = f"<!-- {mark} -->\n", f"\n<!-- end of {mark} -->"
    before, opened, rest = text.partition(start)
    old, closed, after = rest.partition(end)
    assert opened, f"no mark {mark}"
    assert closed, f"no end of {mark}"
    return f"{before}{start}{made(old)}{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), TARGET.run(ExternalData()).tables), encoding="utf-8")
