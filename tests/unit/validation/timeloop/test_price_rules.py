"""Energies that differ by a rule of prices, not by a count: the rule is named. Cases and numbers are Timeloop v3.0.3's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from sparseloop.model.pipeline import evaluate_plan
from sparseloop.validation.timeloop.causes import causes, of_leakage
from sparseloop.validation.timeloop.compare import Evaluation, Figure, evaluate_case
from sparseloop.validation.timeloop.corpus import COMMITTED, GoldenCase, read_cases

IDS = ("fuzz-00221", "fuzz-00563", "fuzz-02239", "fuzz-00402")
NETWORKS = {
    "fuzz-00221": ("GLB <==> MAC", "Z", {"average_number_of_hops": 2.7, "energy_total": 720.0}),  # 288 up, 192 down
    "fuzz-00402": ("GLB <==> Buf", "A", {"average_number_of_hops": 0.3888888888888889, "energy_total": 1290240.0}),
}
"""What the shipped corpus leaves out."""


@cache
def cases() -> dict[str, GoldenCase]:
    return {case.id: case for case in read_cases(COMMITTED) if case.id in IDS}


def evaluated(name: str) -> Evaluation:
    return evaluate_case(cases()[name])


def sure(evaluation: Evaluation, figure: Figure) -> set[str]:
    """Faults that give their number to the last access."""
    return {cause.name for cause in causes(evaluation, replace(figure, unit=0.0)) if cause.sure}


def test_the_price_of_an_update_is_ignored():
    evaluation = evaluated("fuzz-02239")
    figure = evaluation.by_path["levels/DRAM/dataspaces/Z/energy_total"]
    assert figure.theirs > 2.8 * (figure.sound or 0.0)
    assert sure(evaluation, figure) == {"Q7u"}


def test_one_word_costs_a_whole_block():
    evaluation = evaluated("fuzz-00563")
    figure = evaluation.by_path["levels/DRAM/dataspaces/T/energy_total"]
    block = evaluation.plan.arch.levels[0].block_size
    assert figure.theirs == pytest.approx(evaluation.plan.arch.levels[0].prices["read"].energy_pj)
    assert block == 8
    if (figure.sound or 0.0) < figure.theirs:  # a word as an eighth of an access
        assert sure(evaluation, figure) == {"D24"}


@pytest.mark.parametrize("name", NETWORKS)
def test_hops_do_not_multiply(name: str):
    evaluation = evaluated(name)
    network, tensor, stated = NETWORKS[name]
    expected = next(n for n in evaluation.case.expected["networks"] if n["name"] == network)
    expected["dataspaces"][tensor] |= stated
    figure = next(f for f in evaluation.network_energies if f.path == f"networks/{network}/dataspaces/{tensor}/energy_total")
    assert figure.theirs < 0.7 * figure.ours
    assert sure(evaluation, figure) - {"D30"} == {"D6"}  # D30: ours has wires by default


def test_leakage_is_named():
    evaluation = evaluated("fuzz-00563")
    priced = replace(evaluation.plan.arch.levels[0].prices["read"], energy_pj=3.0)
    arch = evaluation.plan.arch
    levels = (replace(arch.levels[0], prices={**arch.levels[0].prices, "leak": priced}), *arch.levels[1:])
    plan = replace(evaluation.plan, arch=replace(arch, levels=levels))
    cost = evaluate_plan(plan, evaluation.mapping.bounds)
    leaky = Evaluation(case=evaluation.case, plan=plan, cost=cost, mapping=evaluation.mapping)
    ours = float(cost.energy_pj)
    figure = Figure(path="overall/energy_pJ", kind="energy", ours=ours, theirs=float(evaluation.cost.energy_pj), unit=0.0)
    assert ours > float(evaluation.cost.energy_pj)
    assert [cause.name for cause in of_leakage(leaky, figure) if cause.sure] == ["D26"]
    assert not list(of_leakage(evaluation, figure))
