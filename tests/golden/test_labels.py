"""On labelled paths the walker decides: for each kind of label a small case on which it gives our number, not Timeloop's.

Where the walker cannot speak (prices, networks, overbooking, choice of alternatives) the test states what our rule gives.
"""

from __future__ import annotations

from functools import cache

import pytest

from sparseloop.model.cost.blocks import of_accesses
from sparseloop.validation.timeloop.compare import Evaluation, Figure, evaluate_case
from sparseloop.validation.timeloop.corpus import COMMITTED, EVERY_PATH, GoldenCase, read_cases
from tests.golden.walked import walk_case

LIMIT = 4.5
"""Standard errors: with 50 comparisons passed by chance in all but one of 3000 runs; the seeds are fixed."""
DRAWS = 20
TENSOR = "levels/{}/dataspaces/{}/{}_per_instance"


def _tensor(level: str, tensor: str, count: str, rank: str = "") -> str:
    return TENSOR.format(level, tensor, count) + rank


READS, FILLS, UPDATES = "actual_scalar_reads", "actual_scalar_fills", "actual_scalar_updates"
LOOKS, ARRIVALS, WRITES = (f"actual_scalar_format_{action}" for action in ("reads", "fills", "updates"))

WALKED = [
    ("Q1", "fuzz-04367", _tensor("GLB", "B", READS)),
    ("Q2", "fuzz-02427", _tensor("GLB", "B", READS)),
    ("Q3", "fuzz-00380", "levels/MAC/stats/actual_computes_total"),
    ("Q4", "fuzz-04355", _tensor("GLB", "Inputs", ARRIVALS, "/rank1/0")),
    ("Q5", "fuzz-04415", _tensor("GLB", "A", LOOKS, "/rank0/0")),
    ("Q8", "fuzz-04041", _tensor("DRAM", "B", LOOKS, "/rank2/0")),
    ("Q9", "fuzz-04342", _tensor("DRAM", "Inputs", LOOKS, "/rank7/1")),
    ("Q10", "fuzz-02085", "levels/MAC/stats/actual_computes_total"),
    ("Q13", "fuzz-00562", "levels/MAC/stats/cycles"),
    ("Q17", "fuzz-00496", "levels/MAC/stats/actual_computes_total"),
    ("Q18", "fuzz-00496", _tensor("GLB", "B", READS)),
    ("Q19", "fuzz-02046", _tensor("GLB", "B", "skipped_scalar_reads")),
    ("Q21", "fuzz-00211", _tensor("DRAM", "Outputs", READS)),
    ("Q23", "fuzz-00139", _tensor("DRAM", "Inputs", LOOKS, "/rank3/1")),
    ("Q24", "fuzz-04411", _tensor("Buf", "A", LOOKS, "/rank1/0")),
    ("Q25", "fuzz-00541", _tensor("DRAM", "Z", WRITES, "/rank1/0")),
    ("Q26", "fuzz-04430", _tensor("DRAM", "W", READS)),
    ("Q32", "fuzz-02128", _tensor("DRAM", "Z", LOOKS, "/rank3/1")),
    ("Q36", "fuzz-04033", _tensor("Buf", "A", FILLS)),
    ("Q37", "fuzz-02698", _tensor("GLB", "Weights", READS)),
    ("Q39", "fuzz-00537", "levels/MAC/stats/cycles"),
    ("D-link", "fuzz-02177", _tensor("DRAM", "A", READS)),
    ("D-joint", "fuzz-02413", _tensor("DRAM", "Inputs", READS)),
    ("D-net", "fuzz-00647", _tensor("GLB", "B", "scalar_reads")),
    ("D1", "fuzz-02114", _tensor("Buf", "I", FILLS)),
    ("D2", "fuzz-04456", _tensor("GLB", "I", "scalar_fills")),
    ("D3", "fuzz-00265", _tensor("GLB", "I", "scalar_fills")),
    ("D4", "fuzz-00215", "levels/MAC/stats/computes_total"),
    ("D5", "fuzz-04014", "levels/MAC/stats/cycles"),
    ("D8", "fuzz-02598", _tensor("RF", "I", "algorithmic_scalar_fills")),
    ("D11", "fuzz-02384", _tensor("GLB", "Inputs", FILLS)),
    ("S-NN", "fuzz-00274", "levels/MAC/stats/actual_computes_total"),
    ("S-band", "extra-05080", _tensor("DRAM", "Z", READS)),
    ("S-class", "fuzz-04376", _tensor("GLB", "A", "skipped_scalar_fills")),
    ("S-gateC", "fuzz-00079", "levels/MAC/stats/skipped_computes_total"),
    ("S-ineff", "fuzz-00356", "levels/MAC/stats/actual_computes_total"),
    ("S-md", "fuzz-00425", _tensor("DRAM", "B", LOOKS, "/rank1/0")),
    ("S-nest", "fuzz-02148", _tensor("Buf", "Z", UPDATES)),
    ("S-skipC", "fuzz-00356", "levels/MAC/stats/skipped_computes_total"),
    ("S-spat", "fuzz-04376", _tensor("GLB", "B", READS)),
]
"""Label, case, path. Tensors of `even` density are placed uniformly by model and walker alike."""
DEFINED = {"Q7", "Q7u", "Q11", "Q14", "Q33", "N1", "S-opt"}
"""Kinds the walker knows nothing about: each has a test of its own below."""
NOT_A_DIFFERENCE = {"S-unchecked"}


@cache
def _cases() -> dict[str, GoldenCase]:
    return {case.id: case for case in read_cases(COMMITTED)}


def _evaluated(case: str, label: str) -> Evaluation:
    given = _cases()[case]
    assert any(label in labels for labels in given.labels.values()) or any(label in g for g in given.given_labels.values())
    return evaluate_case(given)


def _figure(evaluation: Evaluation, path: str) -> Figure:
    return next(f for f in evaluation.figures if f.path == path)


def test_every_kind_of_label_has_a_test() -> None:
    kinds = {label for case in _cases().values() for given in case.given_labels.values() for label in given}
    assert kinds == {label for label, _, _ in WALKED} | DEFINED | NOT_A_DIFFERENCE


LONG = ("S-nest", "D8")
"""Half a minute each."""


@pytest.mark.parametrize(
    ("label", "case", "path"),
    [pytest.param(*one, marks=[pytest.mark.slow] * (one[0] in LONG), id=one[0]) for one in WALKED],
)
def test_walker_decides(label: str, case: str, path: str) -> None:
    given = _cases()[case]
    assert label in given.labels.get(path, given.labels.get(EVERY_PATH, ()))
    walked = walk_case(evaluate_case(given), DRAWS)
    figure = _figure(walked.evaluation, path)
    mean, error = walked.count(path)
    assert abs(figure.ours * figure.per - mean) <= LIMIT * error + 1e-9 * max(1.0, mean)
    assert abs(figure.theirs * figure.per - mean) > LIMIT * error
    assert not figure.agrees


def test_q7_skipped_and_gated_accesses_cost_what_the_table_says() -> None:
    """No entry, no price; the reference charges a full read for each of the two gated ones."""
    evaluation = _evaluated("fuzz-00299", "Q7")
    actions = {a.action: a for a in evaluation.cost.levels[0].actions if a.tensor == "Weights"}
    assert (float(actions["read"].count), float(actions["gated_read"].count)) == (3.0, 2.0)
    assert actions["gated_read"].energy_pj_each == 0.0
    theirs = evaluation.case.expected["levels"][-1]["dataspaces"]["Weights"]["energy_total"]
    assert theirs == pytest.approx(5 * actions["read"].energy_pj_each)


def test_q7u_updates_have_their_own_price() -> None:
    """The table's `update` is 9.61 pJ; the reference ignores the name and takes `write`."""
    evaluation = _evaluated("fuzz-00433", "Q7u")
    update = next(a for a in evaluation.cost.levels[0].actions if (a.tensor, a.action) == ("O", "update"))
    assert update.energy_pj_each == 9.61
    assert evaluation.case.expected["levels"][-1]["extra"]["op_energy"]["random_update"] == 129.133


def test_q11_networks_carry_what_is_really_read() -> None:
    """(F6); the reference sends the dense words whatever is compressed or skipped."""
    evaluation = _evaluated("fuzz-02353", "Q11")
    link = next(k for k in evaluation.cost.sparse.links if k.dense.link.name == "B")
    words = float(evaluation.cost.networks[0].words_down["B"])
    theirs = evaluation.case.expected["networks"][0]["dataspaces"]["B"]["ingresses"]
    assert words == float(link.reads.actual) == 8.0
    assert theirs == float(link.reads.total) == 16.0


def test_q14_a_level_pays_for_what_it_does() -> None:
    """The reference multiplies the level's energy by its confidence, here 1 - 2^-7."""
    evaluation = _evaluated("fuzz-02634", "Q14")
    figure = _figure(evaluation, "levels/GLB/dataspaces/A/energy_total")
    assert figure.theirs == pytest.approx(figure.ours * (1 - 2**-7), abs=1e-2)


def test_q33_a_decompressor_writes_every_word_of_the_tile() -> None:
    """A decompressor counts the words it writes; walker, model and Timeloop agree, so the label's number is none of ours."""
    evaluation = _evaluated("fuzz-04486", "Q33")
    link = next(k for k in evaluation.cost.sparse.links if k.dense.link.name == "B" and k.dense.link.parent == 0)
    walk = walk_case(evaluation, 1).walks[0]
    assert float(link.decompress) == float(link.fills.actual) == walk.tensors[1, "B"].decompress == 192.0
    assert _figure(evaluation, "levels/GLB/dataspaces/B/energy_total").agrees


def test_n1_a_word_costs_between_one_block_and_its_share_of_one() -> None:
    """E[ceil(k/B)] / E[k], for a tile of one block P(k > 0) / E[k]; the reference gets 0.18 for blocks of two words, less
    than 1/B, by dividing by a mean that is conditioned and one that is not."""
    evaluation = _evaluated("fuzz-00428", "N1")
    plan = evaluation.plan
    level = next(i for i, lv in enumerate(plan.arch.levels) if lv.name == "Buf")
    link = next(k for k in evaluation.cost.sparse.links if (k.dense.link.name, k.dense.link.parent) == ("B", level))
    model, words = link.resident.model, float(link.resident.footprint)
    assert plan.arch.levels[level].block_size == words == 2
    expected = (1.0 - float(model.empty(words, link.resident.extents))) / float(model.mean(words))
    assert float(of_accesses(link, "read").all_or_nothing(1.0)) == pytest.approx(expected)
    assert 0.5 < expected < 1.0


def test_s_opt_the_option_that_saves_most_is_taken() -> None:
    """Read price x words x removed fraction at its own link; the first of equals. The reference takes the other one."""
    evaluation = _evaluated("fuzz-04071", "S-opt")
    links = {k.dense.link.name: k for k in evaluation.cost.sparse.links if k.dense.link.parent == 1}
    assert float(links["Weights"].reads.skipped) > 0
    assert float(links["Inputs"].reads.skipped) == 0
    assert not _figure(evaluation, _tensor("GLB", "Inputs", READS)).agrees
