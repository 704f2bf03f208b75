"""Numbers and records in words, the same in tables, pictures and explanations."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sparseloop.model.cost.waiting import Wait
from sparseloop.model.density import (
    Actual,
    Banded,
    Block,
    Clustered,
    DensityModel,
    Even,
    GivenResult,
    Hierarchical,
    Layered,
    Produced,
    Rows,
    Structured,
)
from sparseloop.model.design.arch import Arch, Level
from sparseloop.model.design.einsum import Einsum, Tensor
from sparseloop.model.design.sparse import Partials, Saf, TensorFormat

# --- numbers ------------------------------------------------------------------------------------------------

_LARGE = ("", " k", " M", " G", " T", " P", " E")
_ENERGY = ("pJ", "nJ", "uJ", "mJ", "J", "kJ")
_TIME = ("ps", "ns", "us", "ms", "s")


def count_text(value: float, digits: int = 3) -> str:
    """1 234 567 as '1.23 M'; small whole numbers as they are."""
    value = float(value)
    if value == int(value) and abs(value) < 10_000 if math.isfinite(value) else False:
        return str(int(value))
    scaled, step = _scaled(value, 1000.0, len(_LARGE), digits)
    return f"{scaled}{_LARGE[step]}"


def energy_text(pj: float, digits: int = 3) -> str:
    """pJ, nJ, uJ, mJ or J."""
    scaled, step = _scaled(float(pj), 1000.0, len(_ENERGY), digits)
    return f"{scaled} {_ENERGY[step]}"


def edp_text(pj_cycles: float, clock_hz: float) -> str:
    """An energy-delay product given in pJ * cycles, in J * s: '1.23e-08 J*s'; the same in every table and figure."""
    return f"{pj_cycles * 1e-12 / clock_hz:.3g} J*s"


def edp_in_full(pj_cycles: float, clock_hz: float) -> str:
    """The energy-delay product in J * s, with its pJ * cycles beside it."""
    return f"{edp_text(pj_cycles, clock_hz)}   ({pj_cycles:.4g} pJ*cycles)"


def time_text(seconds: float) -> str:
    """ps, ns, us, ms or s, three digits."""
    scaled, step = _scaled(float(seconds) * 1e12, 1000.0, len(_TIME))
    return f"{scaled} {_TIME[step]}"


def area_text(um2: float) -> str:
    """um2 or mm2, three digits."""
    value, unit = (float(um2), "um2") if um2 < 1000 else (float(um2) / 1e6, "mm2")
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def total_area_text(um2: float) -> str:
    """Area of a whole machine; 0 where no file and no estimator gives one."""
    return area_text(um2) if um2 else "not known"


def objective_text(name: str, value: float, clock_hz: float) -> str:
    """What was minimized, in six digits with its unit: '3.17e-16 J*s (317344 pJ*cycles)'."""
    if name == "edp":
        return f"{value * 1e-12 / clock_hz:.6g} J*s ({value:.6g} pJ*cycles)"
    unit = {"energy": " pJ", "cycles": " cycles"}.get(name, "")
    return f"{value:.6g}{unit}"


def percent_text(part: float, digits: int = 3) -> str:
    """A fraction: 12.5 %, 0.31 %, 100 %."""
    value = 100.0 * float(part)
    if 0 < abs(value) < 0.01:
        return "<0.01 %"
    text = f"{value:.{max(0, digits - 2)}f}" if abs(value) >= 9.95 else f"{value:.2g}"
    return f"{text.removesuffix('.0')} %"


def exact_text(value: float) -> str:
    """A number in full: whole numbers as they are, others with six digits or one decimal."""
    value = float(value)
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if 1e6 <= abs(value) < 1e15:
        return f"{value:.1f}"
    return f"{value:.6g}"


def _scaled(value: float, base: float, steps: int, digits: int = 3) -> tuple[str, int]:
    """The number in `digits` digits, and the steps of `base` that were taken off."""
    if not math.isfinite(value):
        return str(value), 0
    step = 0
    while step < steps - 1 and abs(value) >= base * 0.9995:
        value, step = value / base, step + 1
    whole = 3 if abs(value) >= 99.95 else 2 if abs(value) >= 9.995 else 1
    text = f"{value:.{max(0, digits - whole)}f}" if abs(value) >= 0.995 or value == 0 else f"{value:.{digits}g}"
    return (text.rstrip("0").rstrip(".") if "." in text else text), step


# --- workload -----------------------------------------------------------------------------------------------


def access_text(tensor: Tensor) -> str:
    """I[n, c, 2p+r]."""
    forms: list[str] = []
    for axis in tensor.axes:
        form = "".join(_term(t.rank, t.coefficient) for t in axis.terms) + (f"{axis.offset:+d}" if axis.offset else "")
        forms.append(form.removeprefix("+") or "0")
    return f"{tensor.name}[{', '.join(forms)}]"


def _term(rank: str, coefficient: int) -> str:
    return f"{'+' if coefficient > 0 else '-'}{abs(coefficient) if abs(coefficient) != 1 else ''}{rank}"


def equation_text(einsum: Einsum) -> str:
    """Z[m, n] = A[m, k] * B[k, n]."""
    outputs = " , ".join(access_text(t) for t in einsum.tensors if t.output)
    return f"{outputs} = {' * '.join(access_text(t) for t in einsum.tensors if not t.output)}"


def extent_text(einsum: Einsum, tensor: Tensor) -> str:
    """'4x8x8 and padding, ' of a tensor with padding."""
    return f"{'x'.join(map(str, einsum.true_shape(tensor)))} and padding, " if einsum.has_padding(tensor) else ""


def density_text(tensor: Tensor) -> str:
    """The distribution of a tensor's non-zeros: dense, uniform 0.25, 2:4 along c."""
    model: DensityModel = getattr(tensor.density, "model", tensor.density)
    share = f"{float(model.density):.4g}"
    if tensor.same_as is not None:
        return f"zeros of {tensor.same_as}, density {share}"
    match model:
        case Structured():
            along = "+".join(t.rank for t in tensor.axes[model.axis].terms)
            return f"{model.n}:{model.m} along {along}"
        case Hierarchical():
            along = "+".join(t.rank for t in tensor.axes[model.axis].terms)
            return f"{' over '.join(f'{n}:{m}' for n, m in model.ratios)} along {along}"
        case Block():
            return f"blocks of {'x'.join(map(str, model.block_shape))}, density {share}"
        case Rows():
            along = ", ".join(t.rank for axis in model.axes for t in tensor.axes[axis].terms)
            return f"{along} of different densities, density {share}"
        case Clustered():
            return f"clusters of {'x'.join(map(str, model.cell))}, correlation {model.correlation:g}, density {share}"
        case Layered():
            return f"{model.text or 'layers'}, density {share}"
        case Banded():
            return f"banded, density {share}"
        case Actual():
            return f"given data, density {share}"
        case Produced() | GivenResult():
            return f"as its operands make it, density {share}"
        case Even():
            return "dense" if model.density >= 1 else f"even, density {share}"
        case _:
            return "dense" if model.density >= 1 else f"uniform, density {share}"


# --- sparse features ----------------------------------------------------------------------------------------


def format_text(form: TensorFormat, tensor: Tensor) -> str:
    """UOP(c) RLE(p,q;5), outermost rank first; `*` stands for all ranks of the tensor."""
    ranks: list[str] = []
    for rank in form.ranks:
        groups = "|".join("*" if frozenset(group) == tensor.ranks else ",".join(group) for group in rank.groups)
        widths = [f"{w:.4g}" for w in (rank.metadata_bits, rank.payload_bits) if w is not None]
        inside = ";".join(part for part in (groups, ",".join(widths)) if part)
        ranks.append(f"{rank.kind}({inside})" if inside else rank.kind)
    return " ".join(reversed(ranks) if form.order == "inner_to_outer" else ranks)


def feature_arrow(saf: Saf) -> str:
    """skip B <- A."""
    return f"{saf.kind.replace('_', ' ')} {saf.follower} <- {' & '.join(saf.leaders)}"


def feature_sentence(saf: Saf) -> str:
    """A feature in words."""
    where = " or ".join(saf.leaders)
    verbs = {
        "skip": f"does not fetch {saf.follower} (saves cycles and energy)",
        "gate": f"idles instead of accessing {saf.follower} (saves energy)",
        "spatial_skip": f"packs the lanes that do not need {saf.follower} (saves instances and energy)",
    }
    return f"{verbs[saf.kind]} where what it meets of {where} is all zero"


PARTIALS: Mapping[Partials, str] = {
    "whole": "copies come and go as a whole",
    "changed": "copies return only the words that they added to",
    "add": "copies start empty, and what they return is added here",
}
"""What copies of a compressed result do, in words."""


# --- machine ------------------------------------------------------------------------------------------------


def capacity_text(level: Level) -> str:
    """Capacity of one instance: 16 KiB (8192 words of 16 bits), or unlimited."""
    if level.capacity_words is None:
        return "unlimited"
    words = f"{exact_text(level.capacity_words)} words of {exact_text(level.word_bits)} bits"
    return f"{bits_text(level.capacity_words * level.word_bits)} ({words})"


def bits_text(number: float) -> str:
    """A number of bits in B, KiB, MiB; odd ones in bits."""
    value = float(number)
    if value < 8 or value % 8:
        return f"{count_text(value)} bits"
    for unit in ("B", "KiB", "MiB", "GiB"):
        value = value / 8 if unit == "B" else value / 1024
        if value < 1024:
            return f"{value:.4g} {unit}"
    return f"{value:.4g} GiB"


def bandwidth_text(level: Level) -> str:
    """Words per cycle of one instance: read 16, write 16; or unlimited."""
    rates = (("", level.shared_bandwidth), ("read ", level.read_bandwidth), ("write ", level.write_bandwidth))
    given = [f"{name}{rate:.4g}" for name, rate in rates if rate is not None]
    return f"{', '.join(given)} words/cycle" if given else "unlimited bandwidth"


def unit_rate_text(level: Level, kind: str) -> str:
    """How many units of a kind one instance has, and how fast they are."""
    unit = next(one for one in level.rates if one.kind == kind)
    return f"{unit.count:g} x {unit.rate:g} per cycle"


def wait_text(arch: Arch, wait: Wait) -> str:
    """What is waited for, in words."""
    names, child = ", ".join(wait.tensors), arch.levels[wait.child].name
    match wait.kind:
        case "load":
            return f"load {names} into {child}"
        case "drain":
            return f"drain {names} from {child}"
        case "skew":
            return f"fill array of {child}"
