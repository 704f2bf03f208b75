"""The A100: what is fitted, and mappings of one product in both forms."""

from __future__ import annotations

import pytest

from sparseloop.cli.app import main
from sparseloop.validation.targets import a100
from sparseloop.validation.targets.a100 import Limits, Machine, Product


def test_all_products_are_there() -> None:
    products = a100.products()
    assert len(products) == 198
    (one,) = [p for p in products if p.case == "64 x 27648 x 5120" and p.precision == "FP16"]
    assert one.dense_us / one.sparse_us == pytest.approx(1.767, abs=1e-3)


def test_time_by_hand() -> None:
    machine = Machine(achieved=0.5, launch_us=5.0)
    assert machine.time_us(Limits(compute=1410.0, memory=1000.0, proven=True)) == pytest.approx(2 + 5)
    assert machine.time_us(Limits(compute=1410.0, memory=4230.0, proven=True)) == pytest.approx(3 + 5)  # memory is at its peak


def test_both_forms_of_a_product_are_searched() -> None:
    """1024 x 5120 x 5120: tensor cores limit, dense and sparse; 5120 rows are padded to 5184."""
    product = next(p for p in a100.products() if p.case == "1024 x 5120 x 5120" and p.precision == "INT8")
    dense, sparse = a100.searched(product, False), a100.searched(product, True)
    assert dense.compute == pytest.approx(1024 * 5184 * 5120 / (108 * 4 * 512))
    assert sparse.compute == pytest.approx(dense.compute / 2)
    assert dense.memory < dense.compute
    assert sparse.memory < sparse.compute


def test_the_achieved_share_is_fitted_to_dense_times(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(product: Product, _: bool) -> Limits:
        return Limits(compute=product.n * 1410.0, memory=0.0, proven=True)

    monkeypatch.setattr(a100, "searched", searched)
    measured = [Product(precision="INT8", n=n, m=1, c=1, dense_us=n / 0.6 + 5, sparse_us=1.0) for n in (0, 100, 1000)]
    assert a100.fitted(measured) == Machine(achieved=0.6, launch_us=5.0)
    assert a100.fitted(measured, sparse=True).launch_us == 1.0


def test_it_runs_only_if_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--list"]) == 0
    assert "(takes five minutes)" in next(line for line in capsys.readouterr().out.splitlines() if line.startswith("a100"))
