"""SIGMA's cycles on irregular products, whose stationary operand is loaded before work, and those of a rigid array."""

from __future__ import annotations

from collections.abc import Iterator

from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.shipped import error, run, table

LIMIT = 0.05
"""The claim under test: every product within 5 %, in the flexible array, and in the rigid one where it is full."""
EDGE = 128
"""Rows, and columns, of the rigid array; SIGMA's groups of multipliers take products of as many indices k."""
STATIONARY, STREAMED = 0.2, 0.9
"""Densities, as in the study."""


def findings(_: ExternalData) -> Findings:
    """Both arrays on the ten products."""
    rows = [row for published in table("sigma") for row in _product(published)]
    flexible = [row.error for row in rows if row.figure == "cycles"]
    theirs = [float(r["teaal_cycles"]) / float(r["cycles"]) - 1 for r in table("sigma")]
    return Findings(
        rows=tuple(rows),
        notes=(
            f"SIGMA, all products: {error(flexible)}; TeAAL, a simulator: {error(theirs)}",
            "as in the study all data are on chip, whether they fit the memories or not",
            "14 cycles per load of the array are the stages of a tree over 16384 multipliers; nothing is fitted",
        ),
    )


def _product(published: dict[str, str]) -> Iterator[PublishedFigure]:
    m, n, k = (int(published[key]) for key in "mnk")
    case = f"{m} x {n} x {k}"
    yield PublishedFigure(
        case=case, figure="cycles", published=float(published["cycles"]), ours=flexible_cycles(m, n, k), limit=LIMIT
    )
    yield PublishedFigure(
        case=case,
        figure="cycles, rigid array",
        published=float(published["rigid_cycles"]),
        ours=rigid_cycles(m, n, k),
        limit=LIMIT if min(m, n) >= EDGE else None,
        why="columns that are not in use are passed, too; we count those in use" if min(m, n) < EDGE else "",
    )


def flexible_cycles(m: int, n: int, k: int) -> float:
    """SIGMA: the non-zeros of 128 indices k of W at a time, as many waves as they take."""
    mapping = f"{{results: '| keep Z', buffer: 'for {_outer('k', k)} n={n} | bypass Z', "
    mapping += f"multipliers: 'm={m} {_inner('k', k)}', stationary: '| keep W'}}"
    return run("sigma", "architecture sparse gemm", *_workload(m, n, k), f"mapping={mapping}").cycles


def rigid_cycles(m: int, n: int, k: int) -> float:
    """128 x 128 multipliers that hold tiles of either operand, the better of the two."""
    return min(_rigid("m", (m, n, k)), _rigid("n", (m, n, k)))


def _rigid(held: str, shape: tuple[int, int, int]) -> float:
    m, n, k = shape
    size, streamed = (m, f"n={n}") if held == "m" else (n, f"m={m}")
    mapping = f"{{results: '| keep Z', buffer: 'for {_outer('k', k)} {_outer(held, size)} {streamed} | bypass Z', "
    mapping += f"multipliers: 'x {_inner(held, size)}, y {_inner('k', k)}', stationary: '| keep {'W' if held == 'm' else 'A'}'}}"
    return run("sigma", "systolic dense gemm_systolic", *_workload(m, n, k), f"mapping={mapping}").cycles


def _workload(m: int, n: int, k: int) -> tuple[str, str]:
    return f"workload.shape={{n: {n}, m: {m}, k: {k}}}", f"workload.density={{W: {STATIONARY}, A: {STREAMED}}}"


def _outer(rank: str, size: int) -> str:
    return f"{rank}={-(-size // EDGE)}"


def _inner(rank: str, size: int) -> str:
    """The factor of the array; the last tile may be smaller."""
    last = (size - 1) % EDGE + 1
    return f"{rank}={min(size, EDGE)}" + (f"~{last}" if size > EDGE and last < EDGE else "")


TARGET = Target(
    name="sigma",
    title="SIGMA: cycles of ten irregular products",
    citation="Qin et al., HPCA 2020, as digitised in the artifact of Nayak et al., TeAAL, MICRO 2023 (baselines sigma, tpu)",
    run=findings,
)
