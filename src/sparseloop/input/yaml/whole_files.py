"""Files that are there as a whole or not at all, whatever ends the program. In the lowest room that writes files."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file as a whole or leaves it as it was; raises OSError.

    The bytes go into a new file beside it, which takes its name once they are on the disk; links are followed, and the
    permissions of a file that is there stay. What is no regular file (a pipe, /dev/stdout) is written directly.
    """
    file = Path(os.path.realpath(file))
    mode = _mode(file)
    if mode is None:
        file.write_bytes(content)
        return
    with tempfile.NamedTemporaryFile("wb", dir=file.parent, prefix=".", suffix=".tmp", delete=False) as new:
        try:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
            os.chmod(new.name, mode)
        except BaseException:  # an interrupt leaves no half file either
            os.unlink(new.name)
            raise
    os.replace(new.name, file)


def write_text_whole(file: Path, text: str) -> None:
    """As `write_whole`, for text in UTF-8."""
    write_whole(file, text.encode("utf-8"))


def _mode(file: Path) -> int | None:
    """Permissions for the new content of a file; None if it is no regular file."""
    try:
        there = os.stat(file).st_mode
    except FileNotFoundError:
        return 0o644
    return stat.S_IMODE(there) if stat.S_ISREG(there) else None
