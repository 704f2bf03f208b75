"""Searches as plain data: read back they are the same; a folder that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.mapper.objectives import objective, objectives
from sparseloop.mapper.saved import DamagedFile, SavedSearches, search_from_record, search_record
from sparseloop.mapper.search import run_search
from sparseloop.mapper.task import Goal, Task
from tests.helpers.tiny_spaces import CONSTRAINED, spec_of


def task(*extra: str, method: str = "random", padded: bool = False) -> Task:
    goal = Goal(objective=objective("energy,cycles"), top=3, pareto=objectives("energy,cycles"))
    budget = sl.Budget(mappings=400) if method == "random" else sl.Budget()
    return Task(space=sl.mapspace(spec_of(*extra), padded=padded), goal=goal, method=method, budget=budget)


@pytest.mark.parametrize(
    ("extra", "method", "padded"),
    [
        ((), "random", False),
        (("constraints: {GLB: {no_temporal_reuse: [A], no_multicast: [B]}}\n",), "random", False),
        ((CONSTRAINED,), "optimal", False),
        (("constraints: {par: {factors: {k: 2}}}\n",), "random", True),
        (("constraints: {RF: {keep: [A, B, Z], factors: {m: 4, n: 2}}}\n",), "random", False),
    ],
    ids=["plain", "switches", "proof", "imperfect", "nothing found"],
)
def test_a_search_reads_back(extra: tuple[str, ...], method: str, padded: bool) -> None:
    given = task(*extra, method=method, padded=padded)
    best = run_search(given)
    again = search_from_record(json.loads(json.dumps(search_record(best))), given)
    assert (again.top, again.front, again.failures) == (best.top, best.front, best.failures)
    assert search_record(again) == search_record(best)
    assert (best.result and best.result.to_dict()) == (again.result and again.result.to_dict())
    assert again.certificate == best.certificate
    assert (best.certificate is not None) == (method == "optimal")


# --- the folder ---------------------------------------------------------------------------------------------


def test_a_folder_gives_back_what_was_kept(tmp_path: Path) -> None:
    folder = SavedSearches(tmp_path)
    assert folder.read("abc") is None
    for value in (0.1 + 0.2, float("inf")):
        folder.write("abc", "conv1", {"value": value, "many": 10**40})
        assert folder.read("abc") == {"value": value, "many": 10**40}
    assert [file.name for file in tmp_path.iterdir()] == ["abc.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "half", "other", "\udcff"])
def test_damage_is_noticed(tmp_path: Path, damage: str) -> None:
    folder, file = SavedSearches(tmp_path), tmp_path / "abc.json"
    folder.write("abc", "conv1", {"value": 17})
    text = file.read_text(encoding="utf-8")
    damaged = {"half": text[: len(text) // 2], "other": text.replace("17", "18")}.get(damage, damage)
    file.write_bytes(damaged.encode(errors="surrogateescape"))
    with pytest.raises(DamagedFile, match="is damaged"):
        folder.read("abc")
    file.rename(tmp_path / "xyz.json")
    with pytest.raises(DamagedFile):
        folder.read("xyz")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        SavedSearches(tmp_path).write("abc", "conv1", {})
    assert list(tmp_path.iterdir()) == []
