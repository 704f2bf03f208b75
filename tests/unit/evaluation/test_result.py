"""The result record: the file's schema, laws of its numbers, reasons, rows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import sparseloop as sl
from sparseloop.evaluation.evaluate import evaluate_mapping
from sparseloop.evaluation.result import CLASSES
from tests.helpers.samples import ALL, INVALID, MATMUL


@pytest.fixture(params=ALL, scope="module")
def result(request):
    return sl.evaluate(sl.loads(ALL[request.param]))


def leaves(data):
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in leaves(value)]
    return [leaf for value in data for leaf in leaves(value)] if isinstance(data, list) else [data]


def records(data):
    """Every class record of a result file."""
    if isinstance(data, dict):
        if "skipped" in data:
            yield data
        for value in data.values():
            yield from records(value)
    elif isinstance(data, list):
        for value in data:
            yield from records(value)


def test_schema(result):
    data = result.to_dict()
    keys = ["schema", "workload", "status", "totals", "levels", "waits", "units", "networks", "no_effect", "warnings"]
    assert list(data) == keys
    assert data["schema"] == "sparseloop.result/1"
    assert list(data["totals"]) == ["energy_pj", "cycles", "edp_pj_cycles", "area_um2", "utilization", "slowest", "computes"]
    head = ["name", "kind", "instances", "instances_used", "energy_pj", "cycles", "area_um2", "parts"]
    *storage, compute = data["levels"]
    assert list(compute) == [*head, "computes", "actions"]
    for part in (part for level in data["levels"] for part in level["parts"]):
        assert list(part) == ["name", "count", "area_um2", "leak_pj", "source", "confidence"]
    for level in storage:
        assert list(level) == [*head, "capacity", "tensors", "actions"]
        capacity = ["words", "expected", "worst", "metadata_words", "metadata_bits_expected", "metadata_bits_worst"]
        assert list(level["capacity"]) == capacity
        for tensor in level["tensors"].values():
            assert list(tensor) == ["tile", "reads", "fills", "updates", "metadata_bits", "energy_pj"]
            assert list(tensor["tile"]) == ["footprint", "density", "occupancy", "p10", "p50", "p90"]
            assert list(tensor["metadata_bits"]) == ["reads", "fills", "updates"]
        for action in level["actions"]:
            keys = ["tensor", "action", "count", "energy_pj_each", "energy_pj", "source", "confidence"]
            assert list(action) == keys
    for network in data["networks"]:
        assert list(network) == ["name", "energy_pj", "source", "confidence", "words_down", "words_up", "metadata_bits"]
    assert all(list(record) == list(CLASSES) for record in records(data))


def test_plain_json_numbers(result):
    data = result.to_dict()
    assert all(type(leaf) in (float, int, bool, str, type(None)) for leaf in leaves(data))
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_laws(result):
    data = result.to_dict()
    for record in records(data):
        assert sum(record[name] for name in CLASSES[1:]) == pytest.approx(record["total"], rel=1e-9, abs=1e-9)
    totals, levels, networks = data["totals"], data["levels"], data["networks"]
    energy = sum(x["energy_pj"] for x in (*levels, *networks))
    assert totals["energy_pj"] == pytest.approx(energy)
    assert totals["edp_pj_cycles"] == pytest.approx(totals["energy_pj"] * totals["cycles"])
    assert totals["area_um2"] == pytest.approx(sum(level["area_um2"] for level in levels))
    assert totals["cycles"] >= max(level["cycles"] for level in levels)
    for level in levels:
        area = level["instances"] * sum(part["count"] * part["area_um2"] for part in level["parts"])
        assert level["area_um2"] == pytest.approx(area)
        assert level["energy_pj"] == pytest.approx(sum(a["energy_pj"] for a in level["actions"]))
        for name, tensor in level.get("tensors", {}).items():
            priced = sum(a["energy_pj"] for a in level["actions"] if a["tensor"] == name)
            assert tensor["energy_pj"] == pytest.approx(priced)
            tile = tensor["tile"]
            assert tile["occupancy"] == pytest.approx(tile["footprint"] * tile["density"])
            assert 0 <= tile["p10"] <= tile["p50"] <= tile["p90"] <= tile["footprint"]


def test_properties_are_the_totals(result):
    totals = result.to_dict()["totals"]
    assert (result.energy_pj, result.cycles, result.edp) == (totals["energy_pj"], totals["cycles"], totals["edp_pj_cycles"])
    assert (result.area_um2, result.utilization) == (totals["area_um2"], totals["utilization"])
    assert result.latency_s == result.cycles / 1e9
    assert repr(result).startswith("<Result ")


def test_bypassed_tensors_are_left_out():
    data = sl.evaluate(sl.loads(ALL["convolution"])).to_dict()
    assert [list(level.get("tensors", ())) for level in data["levels"]] == [["I", "W", "O"], ["I", "O"], ["I", "W", "O"], []]
    assert data["levels"][0]["capacity"]["words"] is None
    assert data["levels"][1]["capacity"]["metadata_words"] == 8 * 1024 * 8 / 24


def test_every_priced_action_is_listed():
    result = sl.evaluate(sl.loads(MATMUL))
    listed = [a for level in result.to_dict()["levels"] for a in level["actions"]]
    wires = sum(network["energy_pj"] for network in result.to_dict()["networks"])
    assert wires + sum(a["energy_pj"] for a in listed) == pytest.approx(result.energy_pj)
    assert all(a["count"] > 0 and a["source"] for a in listed)
    assert {"intersect", "metadata_read", "leak", "gated_update"} <= {a["action"] for a in listed}


def test_reasons():
    assert sl.evaluate(sl.loads(MATMUL)).reasons == ()
    result = sl.evaluate(sl.loads(MATMUL, overrides=INVALID))
    assert not result.valid
    assert result.status == sl.Status.OVER_CAPACITY | sl.Status.OVER_FANOUT | sl.Status.NO_SUCH_PATH | sl.Status.UNDER_UTILIZED
    assert result.to_dict()["status"] == {"valid": False, "reasons": list(result.reasons)}
    for words in (
        "the loops along x below GLB (n=8) use 8 instances of RF, but there are 4",
        "GLB must hold 4 096 words in the worst case (A 1 024 + B 2 048 + Z 1 024), but one instance has room for 512",
        "bits of metadata in the worst case",
        "RF holds 26 words (A 16 + B 8 + Z 2), 40.6% of its capacity, but at least 90.0% must be used",
        "the format of A in GLB (CP) does not end like the one in RF (UOP CP)",
        "B is compressed in GLB but not in RF, which cannot decompress it",
    ):
        assert any(words in reason for reason in result.reasons), (words, result.reasons)


def test_reason_of_wrong_factors():
    design = sl.design_of(sl.loads(MATMUL))
    mapping = replace(design.mapping, bounds=(2, *design.mapping.bounds[1:]))
    result = evaluate_mapping(design, mapping)
    assert result.status == sl.Status.BAD_FACTORS
    assert result.reasons == ("factors of rank m multiply to 32 (2 × 8 × 2), but m is 64",)


def test_reason_of_loops_left_over():
    changes = ["sparse.GLB.formats.A={ranks: [{kind: UOP}, {kind: CP}], automatic: false}", "sparse.RF.formats={}"]
    (reason,) = sl.evaluate(sl.loads(MATMUL, overrides=changes)).reasons
    assert reason.startswith("the format of A in GLB (UOP CP) has too few ranks for the loops k=8 at GLB, m=8 at GLB besides")


def test_reason_of_a_repeated_rank():
    """CP of two loops is CP CP, and csr does not end so."""
    (reason,) = sl.evaluate(sl.loads(MATMUL, overrides=["sparse.RF.formats.A=CP"])).reasons
    assert reason == (
        "the format of A in GLB (UOP CP) does not end like the one in RF: CP, its outermost rank repeated, is CP CP "
        "for the loops m=2 k=8"
    )


@pytest.mark.parametrize("override", INVALID)
def test_every_violated_limit_has_a_reason(override):
    result = sl.evaluate(sl.loads(MATMUL, overrides=[override]))
    assert result.valid == (not result.reasons)
    assert not result.valid


def test_rows(result):
    rows = result.to_rows()
    assert all(len(row) == 6 and isinstance(row[4], float | int) for row in rows)
    keys = [row[:4] for row in rows]
    assert len(set(keys)) == len(keys)
    by_key = {row[:4]: row[4] for row in rows}
    assert by_key["", "", "energy_pj", ""] == result.energy_pj
    level = result.to_dict()["levels"][0]
    for name, tensor in level["tensors"].items():
        assert by_key[level["name"], name, "reads", "actual"] == tensor["reads"]["actual"]


def test_formats_that_lost_their_loops_keep_their_metadata():
    """m takes the rank of offsets, so that the mask of every non-zero's row has one bit."""
    text = """
workload: {einsum: "Z[m] = A[m,k] * B[k]", shape: {m: 8, k: 1}, density: {A: 0.5}}
architecture:
  levels: [{name: DRAM, class: dram}, {name: MAC, class: mac}]
mapping:
  - DRAM: for m=8
sparse:
  DRAM: {formats: {A: "UOP B(k)"}}
"""
    result = sl.evaluate(sl.loads(text))
    assert not any("metadata" in warning for warning in result.warnings)
    bits = result.to_dict()["levels"][0]["tensors"]["A"]["metadata_bits"]["reads"]
    assert bits["actual"] == pytest.approx(9 * 8 + 4)  # offsets of 8 bits, and a bit for each of 4 words
