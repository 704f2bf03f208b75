"""Puts what commands print now into the pages that show it: python -m tests.helpers.refresh_pages [PAGE ...].

A block that disagrees is rewritten line by line: `...` stays, other lines take the printed line most like them, in order. What
cannot be told apart is named and left to a person; read the difference before it is committed.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
import tempfile
from pathlib import Path

from tests.helpers.doc_pages import DOCS, agrees, pages, run

ALIKE = 0.5
"""Similarity from which two lines are versions of each other."""


def refreshed(shown: list[str], printed: list[str]) -> list[str]:
    """The shown lines, as they are printed now."""
    if not any("..." in line for line in shown):
        return [line.rstrip() for line in printed]
    result, at = list[str](), 0
    for line in shown:
        if line.strip() == "..." or not line.strip():
            result.append(line)
            continue
        likeness = [difflib.SequenceMatcher(None, line, other).ratio() for other in printed[at:]]
        best = max(range(len(likeness)), key=likeness.__getitem__, default=None)
        if best is None or likeness[best] < ALIKE:
            result.append(line)
            continue
        result.append(line if "..." in line else printed[at + best].rstrip())
        at += best + 1
    return result


def refresh(page: Path) -> None:
    """One page."""
    text = page.read_text(encoding="utf-8")
    folder = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            steps = run(page)
        finally:
            os.chdir(folder)
    for what, shown, printed in steps:
        if not shown or agrees(shown, printed):
            continue
        old = r"[ \t]*\n".join(re.escape(line.rstrip()) for line in "\n".join(shown).rstrip("\n").splitlines())
        new = "\n".join(refreshed(shown, printed)).strip("\n")
        if len(re.findall(old, text)) == 1 and agrees(new.splitlines(), printed):
            text = re.sub(old, lambda _, new=new: new, text)
            print(f"{what}: rewritten")
        else:
            print(f"{what}: NOT rewritten")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    for one in [Path(name).resolve() for name in sys.argv[1:]] or [*pages(), DOCS.parent / "README.md"]:
        refresh(one)
