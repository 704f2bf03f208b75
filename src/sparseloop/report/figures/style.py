"""The style of figures: widths of paper columns, colours that the colour-blind can distinguish, hatches and markers for print
in grey.
"""

from __future__ import annotations

import io
import math
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sparseloop.input.diagnostics import Diagnostic, SpecError, check_arguments
from sparseloop.input.extras import import_extra
from sparseloop.input.markup import COLOURS
from sparseloop.input.yaml.whole_files import write_whole

COLUMN, PAGE = 3.5, 7.16
"""Width in inches of one column and of a page of two columns (IEEE)."""
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "oo", "++", "--")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES = ("-", "--", "-.", ":")
NOTEBOOK_DPI = 150
"""A column of a paper is 525 pixels wide in a notebook."""
FIGURE_SUFFIXES = (".pdf", ".svg", ".png")
RC_PARAMS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "sparseloop",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
}


@contextmanager
def styled() -> Generator[None]:
    """Applies the style to what is drawn inside; the user's own settings of matplotlib stay."""
    with import_extra("matplotlib", "plot").rc_context({**import_extra("matplotlib", "plot").rcParamsDefault, **RC_PARAMS}):
        yield


def figure(width: float = COLUMN, height: float = 2.4) -> tuple[Any, Any]:
    """(figure, axes), made without a window system."""
    made = import_extra("matplotlib.figure", "plot").Figure(figsize=(width, height))
    return made, made.add_subplot()


def with_notebook_view(figure: Any) -> Any:
    """The same figure, which a notebook draws whether or not pyplot has been imported (matplotlib leaves it to pyplot)."""
    figure._repr_png_ = partial(_png, figure)
    return figure


def _png(figure: Any) -> bytes:
    drawn = io.BytesIO()
    with styled():
        figure.savefig(drawn, format="png", dpi=NOTEBOOK_DPI)
    return drawn.getvalue()


FEW_TICKS = 200.0
"""An axis from 1 to this has ticks at 1, 2 and 5, a longer one at powers of ten: labels must not run into each other."""


PLAIN = (1e-4, 1e5)
"""Within these all ticks of a logarithmic axis are plain numbers, else all are powers of ten."""


def log_axis(axes: Any, which: str) -> None:
    """Makes the axis `which` ('x' or 'y') logarithmic, with few ticks in plain numbers."""
    ticker = import_extra("matplotlib.ticker", "plot")
    getattr(axes, f"set_{which}scale")("log")
    low, high = getattr(axes, f"get_{which}lim")()
    axis = getattr(axes, f"{which}axis")
    plain = low >= PLAIN[0] and high <= PLAIN[1]
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0) if high < (FEW_TICKS if plain else 30.0) * low else (1.0,)))
    axis.set_major_formatter(ticker.FuncFormatter(_plain_text if plain else _power_text))
    axis.set_minor_formatter(ticker.NullFormatter())


LARGE = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
"""Units of numbers on a linear axis."""


def linear_axis(axes: Any, which: str, *, from_zero: bool) -> None:
    """Ticks with k, M, G behind large numbers instead of a power of ten at the end of the axis, which may begin at zero."""
    ticker = import_extra("matplotlib.ticker", "plot")
    axis, high = getattr(axes, f"{which}axis"), getattr(axes, f"get_{which}lim")()[1]
    scale, letter = next(((size, f" {letter}") for size, letter in LARGE if high >= size), (1.0, ""))
    axis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))

    def text(value: float, _: int) -> str:
        return f"{value / scale:g}{letter if value else ''}"

    axis.set_major_formatter(ticker.FuncFormatter(text))
    if from_zero:
        getattr(axes, f"set_{which}lim")(0.0, 1.03 * high)


def _plain_text(value: float, _: int) -> str:
    return f"{value:g}"


def _power_text(value: float, _: int) -> str:
    power = math.floor(math.log10(value) + 1e-9)
    factor = round(value / 10.0**power)
    return f"$10^{{{power}}}$" if factor == 1 else f"${factor}\\times10^{{{power}}}$"


def colour(number: int) -> str:
    """The colour of the n-th thing."""
    return COLOURS[number % len(COLOURS)]


def hatch(number: int) -> str:
    """The hatch of the n-th thing: no two of 64 look the same."""
    return HATCHES[(number + number // len(COLOURS)) % len(HATCHES)]


def save_figure(figure: Any, path: str | Path) -> None:
    """Writes a figure of `plot` to a file: .pdf, .svg or .png. The same figure gives the same bytes."""
    check_arguments(save_figure, locals())
    if not hasattr(figure, "savefig"):
        message = f"expected a figure of plot, got {type(figure).__name__}"
        raise SpecError([Diagnostic(path=("figure",), message=message, hint="save_figure(plot(result), 'energy.pdf')")])
    file = Path(path)
    if file.suffix.lower() not in FIGURE_SUFFIXES:
        hint = f"endings: {', '.join(FIGURE_SUFFIXES)}"
        raise SpecError([Diagnostic(message=f"cannot draw into '{path}': the ending says no known format", hint=hint)])
    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}[file.suffix.lower()]
    drawn = io.BytesIO()
    with styled():
        figure.savefig(drawn, format=file.suffix.lower()[1:], metadata=undated)
    try:
        write_whole(file, drawn.getvalue())
    except OSError as error:
        raise SpecError([Diagnostic(message=f"cannot write {path}: {error.strerror or error}")]) from None
