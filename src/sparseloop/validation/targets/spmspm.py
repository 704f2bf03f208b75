"""Products of real sparse matrices: the uniform model and the given-data model against the walker, and one large matrix."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load
from sparseloop.validation.against_walker import model_activities, walker, walker_activities
from sparseloop.validation.records import ExternalData, Findings, PublishedFigure, Target
from sparseloop.validation.walker import Walker

EXACT = 1e-9
"""On given data the model is exact."""
GRIDS = {"large": 1500, "medium": 300}
"""Points along a side of the grid by specification: the large one has 2 250 000 rows and 11 244 000 non-zeros."""
GROUPS = {
    "effectual products": ("computes",),
    "words read from DRAM": ("DRAM A reads", "DRAM B reads"),
    "words read from LLB": ("LLB A reads", "LLB B reads"),
    "coordinates read": tuple(f"{level} {tensor} metadata reads" for level in ("DRAM", "LLB", "PEB") for tensor in "AB"),
}


@dataclass(frozen=True, slots=True)
class Product:
    """The pattern of a square matrix, and of its product with itself, as SciPy's CSR matrices of 0 and 1."""

    factor: Any
    product: Any


def squared(matrix: Any) -> Product:
    """Any SciPy matrix as a pattern, with its square."""
    sparse: Any = import_module("scipy.sparse")
    ones = sparse.csr_matrix(matrix != 0).astype("float32")
    return Product(ones, ones @ ones)


def small() -> dict[str, Any]:
    """Matrices of 36 x 36 from PyAMG's gallery."""
    gallery: Any = import_module("pyamg.gallery")
    stencil = gallery.diffusion_stencil_2d(type="FE", epsilon=0.1, theta=0.5)
    return {
        "5-point, 6 x 6 grid": gallery.poisson((6, 6), format="csr"),
        "7-point, 3 x 3 x 4 grid": gallery.poisson((3, 3, 4), format="csr"),
        "9-point, 6 x 6 grid": gallery.stencil_grid(stencil, (6, 6), format="csr"),
        "airfoil mesh, first 36": gallery.load_example("airfoil")["A"].tocsr()[:36, :36],
    }


def given(side: str, product: Product, known: str = "ABZ") -> Result:
    """Evaluated with these tensors as given data, handed over as files as a user would; of the others the density."""
    sparse: Any = import_module("scipy.sparse")
    with tempfile.TemporaryDirectory() as folder:
        densities: dict[str, str] = {}
        for tensors, matrix in (("AB", product.factor), ("Z", product.product)):
            place = Path(folder) / f"{tensors}.npz"
            if tensors[0] in known:
                sparse.save_npz(place, matrix, compressed=False)
            densities |= dict.fromkeys(tensors, str(place if tensors[0] in known else _density(matrix)))
        return _evaluated(side, densities)


def _density(matrix: Any) -> float:
    return matrix.nnz / matrix.shape[0] ** 2


def uniform(side: str, product: Product) -> Result:
    """Evaluated with their densities alone."""
    factor = str(_density(product.factor))
    return _evaluated(side, {"A": factor, "B": factor, "Z": str(_density(product.product))})


def _evaluated(side: str, densities: dict[str, str]) -> Result:
    package = files("sparseloop")
    specs = package.joinpath("validation/specs/spmspm")
    parts = (
        package.joinpath("designs/extensor/architecture.yaml"),
        specs.joinpath("sparse.yaml"),
        specs.joinpath(f"{side}.yaml"),
    )
    overrides = [f"workload.density.{tensor}={value}" for tensor, value in densities.items()]
    return evaluate(load(*(str(part) for part in parts), overrides=overrides))


@cache
def small_walker() -> Walker:
    """What does not depend on the patterns, found once."""
    return walker(_evaluated("side36", {}).design)


def truth(product: Product) -> dict[str, float]:
    """All activities as the walker counts them."""
    found = small_walker().walk({t: product.factor.toarray() != 0 for t in "AB"} | {"Z": product.product.toarray() != 0})
    return walker_activities(_evaluated("side36", {}).design, found)


def walked_rows(case: str, matrix: Any) -> list[PublishedFigure]:
    """One small matrix: both models beside the walker."""
    product = squared(matrix)
    counts = truth(product)
    exact, blind = model_activities(given("side36", product)), model_activities(uniform("side36", product))
    worst = max(counts, key=lambda name: abs(exact[name] - counts[name]) / max(counts[name], 1.0))
    rows = [
        PublishedFigure(
            case=case, figure=f"worst of {len(counts)}, given data", published=counts[worst], ours=exact[worst], limit=EXACT
        )
    ]
    for figure, names in GROUPS.items():
        told, ours = (sum(found[name] for name in names) for found in (counts, blind))
        rows.append(PublishedFigure(case=case, figure=f"{figure}, uniform", published=told, ours=ours))
    return rows


def large_rows(name: str = "large") -> tuple[list[PublishedFigure], str]:
    """The 5-point stencil on a large grid: effectual products against their closed sum, and what it took."""
    grid = GRIDS[name]
    gallery: Any = import_module("pyamg.gallery")
    product = squared(gallery.poisson((grid, grid), format="csr"))
    start = time.perf_counter()
    result = given(name, product, known="AB")
    took = time.perf_counter() - start
    lengths = product.factor.getnnz(axis=1).astype("int64")
    columns = product.factor.getnnz(axis=0).astype("int64")
    rows = [
        PublishedFigure(
            case=f"5-point, {grid} x {grid} grid",
            figure="effectual products",
            published=float(lengths @ columns),
            ours=float(result.cost.sparse.computes.actual),
            limit=EXACT,
        )
    ]
    sizes = f"{product.factor.nnz} non-zeros each, both given"
    return rows, f"the large product ({sizes}): written, read and evaluated in {took:.0f} s on this machine"


def run(_: ExternalData) -> Findings:
    """All matrices; skipped without PyAMG."""
    if find_spec("pyamg") is None:
        return Findings(skipped=("PyAMG is not installed (pip install pyamg): its gallery makes the matrices",))
    rows = [row for case, matrix in small().items() for row in walked_rows(case, matrix)]
    more, took = large_rows()
    return Findings(rows=(*rows, *more), notes=(took, *NOTES))


NOTES = (
    "published: here the walker's count on the same matrices; of the large one sum over k of nnz(A[:,k]) nnz(A[k,:])",
    "given data: the activity that deviates most of all reads, fills, updates, coordinates and products at all levels",
    "uniform: the model knows only the densities; how non-zeros cluster decides what the outer levels may skip",
    "two-finger intersection; what a skip-ahead unit reads is exact neither on given nor on random data: it takes the two lists "
    "for independent (designs/extensor)",
)

TARGET = Target(
    name="spmspm",
    title="Products A A of real sparse matrices on three levels of intersection (design `extensor`)",
    citation="the walker on matrices of PyAMG's gallery (Bell, Olson, Schroder, 2022; MIT licence)",
    run=run,
)
