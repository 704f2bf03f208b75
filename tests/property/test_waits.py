"""Time that nothing overlaps with, against the walker's load events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sparseloop.model.cost.cost import Cost
from sparseloop.model.density import Actual
from sparseloop.model.design.arch import Arch
from sparseloop.model.pipeline import evaluate_plan
from sparseloop.model.plan import compile_plan
from sparseloop.validation.walker import Machine, Ports, Walk, Walker
from tests.property.specs import AFFINE, PLAIN, Case, cases, data

EXACT = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=120,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
WORD_BITS, METADATA_BITS = 16.0, 8.0
"""Of the levels of random cases."""


@dataclass(frozen=True)
class Waiting:
    """A random case whose machine waits for some tensors."""

    case: Case
    serial: dict[int, frozenset[str]]
    ports: dict[int, Ports]

    def arch(self) -> Arch:
        levels = list(self.case.arch().levels)
        for level, port in self.ports.items():
            rates = {"read_bandwidth": port.read, "write_bandwidth": port.write, "shared_bandwidth": port.shared}
            network = levels[level].network
            assert network is not None
            levels[level] = replace(
                levels[level], serial=self.serial.get(level, frozenset()), network=replace(network, systolic=True), **rates
            )
        return Arch(levels=tuple(levels))

    def cost(self, patterns: dict[str, np.ndarray]) -> Cost:
        einsum = self.case.einsum({name: Actual(pattern) for name, pattern in patterns.items()})
        plan = compile_plan(einsum, self.arch(), self.case.mapping.nest, self.case.sparse)
        return evaluate_plan(plan, self.case.mapping.bounds, self.case.mapping.residuals)

    def walk(self, patterns: dict[str, np.ndarray]) -> Walk:
        case = self.case
        walker = Walker(case.einsum(), case.blocks, case.mapping, case.sparse)
        entries = {at: self._entries(at, len(walker.plan.ranks[at])) for at in walker.plan.ranks if case.sparse.format(*at)}
        systolic = frozenset(range(case.levels))
        machine = Machine(serial=self.serial, ports=self.ports, entries=entries, systolic=systolic)
        return Walker(case.einsum(), case.blocks, case.mapping, case.sparse, machine).walk(patterns)

    def _entries(self, at: tuple[int, str], ranks: int) -> tuple[tuple[float, float], ...]:
        """Words of an entry and a payload of each rank; the walker repeats the outermost one for loops left over."""
        form = self.case.sparse.format(*at)
        assert form is not None
        given = [form.ranks[0]] * (ranks - len(form.ranks)) + list(form.ranks)
        return tuple(((1.0 if r.kind in ("B", "UB") else METADATA_BITS) / WORD_BITS, METADATA_BITS / WORD_BITS) for r in given)


def waits(cost: Cost) -> dict[str, float]:
    """Cycles by kind and place."""
    found: dict[str, float] = {}
    for wait in cost.waits:
        at = wait.parent if wait.kind == "skew" else wait.child
        found[f"{wait.kind} {at}"] = found.get(f"{wait.kind} {at}", 0.0) + float(wait.cycles)
    return found


def walked(walk: Walk) -> dict[str, float]:
    found = {f"load {level}": one.loads for level, one in walk.waits.items()}
    found |= {f"drain {level}": one.drains for level, one in walk.waits.items()}
    return found | {f"skew {level}": cycles for level, cycles in walk.skews.items()}


@st.composite
def waiting(draw: st.DrawFn, inputs_only: bool, several: bool, **options: bool) -> Waiting:
    """`several`: any ports are limited, else those of one level, where all words pass the same port."""
    case = draw(cases((*PLAIN, *AFFINE), **options))
    names = [name for name in case.problem.tensors if not (inputs_only and name == case.output)]
    chosen = st.frozensets(st.sampled_from(names))
    serial = {level: draw(chosen) for level in range(1, case.levels)}
    rate = st.sampled_from([None, 0.5, 1.0, 3.0])
    limited = draw(st.integers(0, case.levels - 1))
    ports = {}
    for level in range(case.levels):
        if several:
            ports[level] = Ports(read=draw(rate), write=draw(rate), shared=draw(rate))
        else:
            ports[level] = Ports(shared=draw(rate)) if level == limited else Ports()
    return Waiting(case, serial, ports)


def compared(machine: Waiting, patterns: dict[str, np.ndarray]) -> None:
    ours, theirs = waits(machine.cost(patterns)), walked(machine.walk(patterns))
    for name in ours.keys() | theirs.keys():
        assert ours.get(name, 0.0) == pytest.approx(theirs.get(name, 0.0), rel=1e-9, abs=1e-9), name


@EXACT
@given(waiting(inputs_only=True, several=True, sparse=False))
def test_loads_of_dense_operands(machine: Waiting) -> None:
    compared(machine, data(machine.case, 0, 2.0))


@EXACT
@given(waiting(inputs_only=False, several=False, sparse=False))
def test_loads_and_drains_at_one_port(machine: Waiting) -> None:
    compared(machine, data(machine.case, 0, 2.0))


@EXACT
@given(waiting(inputs_only=True, several=False), st.integers(0, 2**32 - 1))
def test_loads_of_given_data_at_the_outermost_port(machine: Waiting, seed: int) -> None:
    machine = replace(machine, ports={level: port if level == 0 else Ports() for level, port in machine.ports.items()})
    compared(machine, data(machine.case, seed))


def test_loads_of_given_data_at_any_ports() -> None:
    """The stated error: the port with most to do on average is taken, and children get equally much."""
    errors: list[float] = []

    @settings(EXACT, max_examples=150)
    @given(waiting(inputs_only=True, several=True), st.integers(0, 2**32 - 1))
    def measured(machine: Waiting, seed: int) -> None:
        patterns = data(machine.case, seed)
        ours, theirs = waits(machine.cost(patterns)), walked(machine.walk(patterns))
        if whole := sum(theirs.values()):
            errors.append(sum(abs(ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in ours.keys() | theirs.keys()) / whole)

    measured()
    print(f"{len(errors)} specifications: mean {np.mean(errors):.4f}, worst {max(errors):.3f}")
    assert np.mean(errors) < 0.01
    assert max(errors) <= 0.4
