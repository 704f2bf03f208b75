"""Files are there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparseloop.input.yaml import whole_files
from sparseloop.input.yaml.whole_files import write_text_whole, write_whole


def test_a_new_file_and_a_changed_one(tmp_path: Path):
    file = tmp_path / "out.txt"
    write_text_whole(file, "first")
    write_text_whole(file, "längerer Text")
    assert file.read_text(encoding="utf-8") == "längerer Text"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException):
    file = tmp_path / "good.yaml"
    file.write_text("good")

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(whole_files.os, "fsync", fail)
    with pytest.raises(type(error)):
        write_whole(file, b"half")
    assert file.read_text() == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["good.yaml"]


@pytest.mark.skipif(os.name == "nt", reason="permissions and links of POSIX")
def test_permissions_stay_and_links_are_followed(tmp_path: Path):
    file, link = tmp_path / "private.yaml", tmp_path / "link.yaml"
    file.write_text("old")
    file.chmod(0o600)
    link.symlink_to(file)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no /dev/null here")
def test_devices_are_written_directly():
    write_whole(Path("/dev/null"), b"nothing")
    assert not Path("/dev/null").is_file()
