"""How far the order of a matrix's rows and columns decides which tiles are empty: `python bench/graphs.py MATRIX.mtx ...`.

Prints the mean error of the share of empty tiles, over the shapes of tiles that `sparseloop density` judges models by, of

    advised    the best of the package's models
    degrees    every row and column has its number of non-zeros, nothing else is known (exp(-R C / r) for a tile of rows that
               have R non-zeros and columns that have C): in the order of the file, and with rows and columns in random order
    shuffled   the matrix itself with its rows and columns in random order: what a perfect model is off that ignores their order
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from sparseloop.input.densities.fit import fit_density, tile_shapes
from sparseloop.model.density import Actual, load_data
from sparseloop.model.units import Floats, Integers


def share_empty(rows: Integers, columns: Integers, shape: tuple[int, int], tile: tuple[int, int]) -> float:
    """Of the aligned tiles."""
    down, across = math.ceil(shape[0] / tile[0]), math.ceil(shape[1] / tile[1])
    return 1.0 - len(np.unique(rows // tile[0] * across + columns // tile[1])) / (down * across)


def by_degrees(of_rows: Floats, of_columns: Floats, tile: tuple[int, int]) -> float:
    """Mean of exp(-R C / r) over the tiles."""
    sums = [np.add.reduceat(one, np.arange(0, len(one), side)) for one, side in zip((of_rows, of_columns), tile, strict=True)]
    (rows, of_row), (columns, of_column) = (np.unique(one, return_counts=True) for one in sums)
    empty = np.exp(-np.outer(rows, columns) / of_rows.sum())
    return float((empty * np.outer(of_row, of_column)).sum() / (len(sums[0]) * len(sums[1])))


def measured(file: str) -> dict[str, float]:
    """The mean errors of one matrix."""
    data = load_data(Path(file))
    given = Actual(data)
    rows, columns = given.coordinates().axes()
    shape = (given.shape[0], given.shape[1])
    dice = np.random.default_rng(0)
    down, across = (dice.permutation(extent) for extent in shape)
    degrees = [np.bincount(at, minlength=extent).astype(np.float64) for at, extent in zip((rows, columns), shape, strict=True)]
    mixed = [of[np.argsort(order)] for of, order in zip(degrees, (down, across), strict=True)]
    tiles = [(tile[0], tile[1]) for tile in tile_shapes(shape)]
    truth = np.array([share_empty(rows, columns, shape, tile) for tile in tiles])

    def error(predicted: list[float]) -> float:
        return round(float(np.abs(np.array(predicted) - truth).mean()), 4)

    return {
        "advised": round(fit_density(data).best.mean_error, 4),
        "degrees": error([by_degrees(degrees[0], degrees[1], tile) for tile in tiles]),
        "degrees, random order": error([by_degrees(mixed[0], mixed[1], tile) for tile in tiles]),
        "shuffled": error([share_empty(down[rows], across[columns], shape, tile) for tile in tiles]),
    }


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps({"matrix": Path(path).name, **measured(path)}))
