"""Keys of evaluations and searches: equal for equal ones, and for no others."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparseloop as sl
from sparseloop.evaluation.cache_key import digest, evaluation_key
from tests.helpers.tiny_spaces import TINY, spec_of

SETTINGS = {"minimize": "edp", "method": "random", "seed": 0}


def test_the_name_of_a_layer_and_the_order_of_fields_do_not_matter() -> None:
    named = spec_of().model_copy(update={"workload": spec_of().workload.model_copy(update={"name": "conv1"})})
    turned = sl.loads(TINY.replace("m: 4, n: 2, k: 3", "k: 3, n: 2, m: 4"))
    assert evaluation_key(spec_of(), SETTINGS) == evaluation_key(named, SETTINGS) == evaluation_key(turned, SETTINGS)


@pytest.mark.parametrize(
    "change",
    ["workload.shape.m=5", "workload.density.A=0.4", "workload.word_bits=8", "architecture.levels.GLB.capacity=21 words"],
)
def test_what_a_search_depends_on_changes_the_key(change: str) -> None:
    assert evaluation_key(sl.loads(TINY, overrides=[change]), SETTINGS) != evaluation_key(spec_of(), SETTINGS)


def test_settings_change_the_key() -> None:
    assert evaluation_key(spec_of(), SETTINGS) != evaluation_key(spec_of(), {**SETTINGS, "seed": 1})


def test_the_content_of_files_changes_the_key(tmp_path: Path) -> None:
    """Neither their names alone, nor when they were written."""
    file, mask = tmp_path / "spec.yaml", tmp_path / "a.txt"
    file.write_text(TINY.replace("A: 0.5", "A: {model: actual, file: a.txt}"), encoding="utf-8")
    keys: list[str] = []
    for text in ("101\n010\n111\n000\n", "101\n010\n111\n001\n", "101\n010\n111\n000\n"):
        mask.write_text(text, encoding="utf-8")
        keys.append(evaluation_key(sl.load(file), SETTINGS))
    assert keys[0] == keys[2] != keys[1]


def test_a_digest_depends_on_the_data_alone() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest(None)) == 64
