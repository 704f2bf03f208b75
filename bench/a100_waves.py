"""The A100's products with whole tiles of libraries, dealt to multiprocessors in waves: `python bench/a100_waves.py`.

A thread block makes a tile of 64, 128 or 256 by as many results on one of 108 multiprocessors; the last wave, and the last
tiles, may be partly empty. A wave takes as long as its tensor cores, its shared memories (warps of 64 x 64 read their operands),
or L2 (every block reads its own); DRAM is read once. The fastest tile is taken. Prints, per precision, the error of dense times,
and how many speed-ups are within 15 %: with one share of the peak for both forms, from the dense times (the comparison), and
with a share and a launch of their own for sparse kernels, from the sparse times (which is none).
"""

from __future__ import annotations

import json
import math
from itertools import product
from statistics import fmean

from sparseloop.validation.targets.a100 import CLOCK_MHZ, NEAR, PRECISIONS, Product, products

TILES = [(m, n) for m, n in product((64, 128, 256), repeat=2) if m * n < 256 * 256]
UNITS = 108
DRAM_BYTES = 1935e3 / CLOCK_MHZ
"""A cycle."""
WARP = 64


def time_us(one: Product, sparse: bool, achieved: float) -> float:
    """Without the launch."""
    wide = PRECISIONS[one.precision] / 8
    kept = 0.5 if sparse else 1.0
    weight = wide * kept + (0.125 if sparse else 0.0)  # two bits say where each kept one stands
    dram = (one.n * one.c * wide + one.m * one.c * weight + one.n * one.m * 2 * wide) / DRAM_BYTES
    best = math.inf
    for m, n in TILES:
        blocks = math.ceil(one.m / m) * math.ceil(one.n / n)
        cores = m * n * one.c * kept * wide / (2 * 1024) / achieved
        shared = m * n / WARP * (weight + wide) * one.c / 128
        outer = min(blocks, UNITS) * (m * weight + n * wide) * one.c / 5120
        best = min(best, math.ceil(blocks / UNITS) * max(cores, shared, outer))
    return max(best, dram) / CLOCK_MHZ


def errors(measured: list[Product], sparse: bool, achieved: float) -> float:
    """Mean error of the times."""
    times = [one.sparse_us if sparse else one.dense_us for one in measured]
    launch = min(times)
    return fmean(
        abs(math.log((time_us(one, sparse, achieved) + launch) / time)) for one, time in zip(measured, times, strict=True)
    )


def measured_share(measured: list[Product], sparse: bool) -> float:
    """Of the peak."""
    return min((share / 100 for share in range(20, 101)), key=lambda share: errors(measured, sparse, share))


def main() -> None:
    for precision in PRECISIONS:
        measured = [one for one in products() if one.precision == precision]
        dense, own = measured_share(measured, sparse=False), measured_share(measured, sparse=True)
        launch, own_launch = min(one.dense_us for one in measured), min(one.sparse_us for one in measured)
        lines = {"precision": precision, "dense share": dense, "error of dense times": round(errors(measured, False, dense), 3)}
        for name, share, start in (("one machine", dense, launch), ("sparse kernels' own", own, own_launch)):
            for least, most in ((1, 256), (512, 2048), (4096, 65536)):
                rows = [one for one in measured if least <= one.n <= most]
                ups = [(time_us(one, False, dense) + launch) / (time_us(one, True, share) + start) for one in rows]
                near = sum(abs(up * one.sparse_us / one.dense_us - 1) <= NEAR for up, one in zip(ups, rows, strict=True))
                lines[f"{name}, n {least} to {most}"] = f"{near} of {len(rows)}"
        print(json.dumps(lines))


if __name__ == "__main__":
    main()
