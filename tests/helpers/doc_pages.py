"""Pages of the documentation as steps to run: files to write, commands and Python with what they print.

* A block whose caption is a file name is written to that file.
* `console`: lines after `$ ` are commands of sparseloop; what follows is printed, `...` stands for anything (a line or a part).
* `python` runs; a `text` block right behind it is printed.
* A caption `not run: reason` is seen by the reader, and exempts a block.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sparseloop.cli.app import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r":([\w-]+):[ ]*(.*)")
FILE_NAME = re.compile(r"[\w./-]+\.(yaml|csv|py|txt)")
EXEMPT = "not run: "


@dataclass(frozen=True)
class Block:
    """A fenced block. `follows`: only blank lines lie between it and the block before."""

    language: str
    caption: str
    body: str
    line: int
    follows: bool

    @property
    def exempt(self) -> bool:
        return self.caption.startswith(EXEMPT)

    @property
    def file(self) -> str | None:
        return self.caption if FILE_NAME.fullmatch(self.caption) else None


def pages() -> list[Path]:
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def blocks(text: str) -> Iterator[Block]:
    end = 0
    for match in FENCE.finditer(text):
        language, caption, lines = match["info"].strip(), "", match["body"].splitlines()
        if language.startswith("{"):
            directive, _, language = language.partition(" ")
            if directive != "{code-block}":
                continue
            while lines and (option := OPTION.fullmatch(lines[0])):
                caption = option[2].strip('"') if option[1] == "caption" else caption
                lines.pop(0)
        body = "\n".join(lines).strip("\n") + "\n"
        yield Block(
            language.strip(), caption, body, text.count("\n", 0, match.start()) + 1, not text[end : match.start()].strip()
        )
        end = match.end()


@dataclass(frozen=True)
class Command:
    """A command and the lines shown below it."""

    text: str
    shown: list[str] = field(default_factory=list)


def commands(body: str) -> list[Command]:
    found: list[Command] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        else:
            assert found, f"a console block begins with '$ ', not with {line!r}"
            found[-1].shown.append(line.rstrip())
    return found


class Session:
    """One page being run, in the current folder: names of its Python blocks, status of its last command."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {}
        self.status = 0
        self.seen = True

    def command(self, text: str) -> list[str]:
        """What a command prints. A status other than 0 must be looked at by `echo $?`."""
        if text == "echo $?":
            self.seen = True
            return [str(self.status)]
        assert self.seen, f"exit status {self.status}, and no 'echo $?' after it"
        text = re.sub(r"\$\((.*?)\)", lambda inner: "\n".join(self.command(inner[1])), text)
        words = shlex.split(text, comments=True)
        target = words[-1] if len(words) > 2 and words[-2] == ">" else None
        assert words[0] == "sparseloop", f"only commands of sparseloop are run, not {words[0]!r}"
        printed, warned = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(warned if target else printed):
            self.status = main(words[1 : -2 if target else None])
        self.seen = self.status == 0
        if target:
            Path(target).write_text(printed.getvalue(), encoding="utf-8")
            return warned.getvalue().splitlines()
        return printed.getvalue().splitlines()

    def python(self, code: str) -> list[str]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "<page>", "exec"), self.names)
        return printed.getvalue().splitlines()


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Whether every line is as shown; `...` stands for anything."""
    parts = [r"(?:.*\n)*?" if line.strip() == "..." else _line(line) for line in _trimmed(shown)]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in _trimmed(printed))) is not None


def _line(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("...")) + "\n"


def _trimmed(lines: list[str]) -> list[str]:
    return "\n".join(line.rstrip() for line in lines).strip("\n").splitlines()


def run(page: Path) -> list[tuple[str, list[str], list[str]]]:
    """Runs a page in the current folder: what was run, what the page shows, what was printed."""
    session, results, last = Session(), [], None
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        if block.exempt:
            last = None
            continue
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.body, encoding="utf-8")
        elif block.language == "console":
            results += [(f"{where}: {one.text}", one.shown, session.command(one.text)) for one in commands(block.body)]
        elif block.language == "text" and block.follows and last is not None:
            results.append((f"{where}: output of python", block.body.splitlines(), last))
        last = session.python(block.body) if block.language == "python" and not block.file else None
    assert session.seen, f"{page.name}: the last command ended with status {session.status}, and no 'echo $?' follows"
    return results
