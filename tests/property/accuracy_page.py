"""The table of docs/accuracy.md, out of the library's list of approximations.

python -m tests.property.accuracy_page        # writes it into the page
"""

from __future__ import annotations

from pathlib import Path

from sparseloop.evaluation.approximations import APPROXIMATIONS

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
START, END = "<!-- approximations -->\n", "<!-- end of approximations -->"


def table() -> str:
    """A row for each approximation."""
    rows = ["| approximation | what is taken | mean | worst | specifications | command |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {one.name} | {one.what} | {100 * one.mean:.2f} % | {100 * one.worst:.1f} % | {one.specifications} | `{one.command}` |"
        for one in APPROXIMATIONS
    ]
    return "\n".join(rows)


def written(text: str) -> str:
    """The page with the table between its marks."""
    before, _, rest = text.partition(START)
    return f"{before}{START}{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
