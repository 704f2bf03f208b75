"""Built-in energy and area estimates, small and simple: SRAM, register files, DRAM, integer and float MACs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DEFAULT_NODE_NM = 45.0
MINIMUM_SRAM_BYTES = 512
MINIMUM_SRAM_ROWS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """The physical unit behind a level."""

    name: str
    kind: Literal["storage", "compute"]
    class_name: str = ""
    type: str | None = None
    """DRAM type, e.g. LPDDR4."""
    node_nm: float | None = None
    """Technology node in nm; None: 45."""
    word_bits: float = 16
    block_size: int = 1
    cluster_size: int = 1
    capacity_words: float | None = None
    """Words of one instance, before multiple buffering; None: unlimited."""
    metadata_access_bits: float = 0

    @property
    def family(self) -> Literal["dram", "regfile", "sram", "float", "integer"]:
        """Which estimate applies: by substring of the class, as Timeloop classifies."""
        name = self.class_name.lower()
        if self.kind == "compute":
            return "float" if "fp" in name or "float" in name else "integer"
        if "dram" in name:
            return "dram"
        return "regfile" if "reg" in name else "sram"

    @property
    def tiny(self) -> bool:
        """True if the memory is below the range of the SRAM fit: the cheaper of SRAM and registers is taken."""
        return self.capacity_words is not None and (self.array_bits / 8 < MINIMUM_SRAM_BYTES or self.rows < MINIMUM_SRAM_ROWS)

    @property
    def access_bits(self) -> float:
        """Bits of one physical array access: word * block * cluster."""
        return self.word_bits * self.block_size * self.cluster_size

    @property
    def rows(self) -> float:
        """Physical accesses that fit the array (0 if unlimited)."""
        return math.ceil((self.capacity_words or 0) / self.block_size)

    @property
    def array_bits(self) -> float:
        """Size of the array that a cluster shares."""
        return self.access_bits * self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value (pJ or um2), who says so, and how sure it is (0..1)."""

    value: float
    source: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One published number: value, unit, citation, and how far to trust it (0..1)."""

    value: float
    unit: str
    citation: str
    confidence: float


def _constant(value: float, unit: str, citation: str, confidence: float) -> Constant:
    """Positional short-hand for the table below."""
    return Constant(value=value, unit=unit, citation=citation, confidence=confidence)


_HOROWITZ = "Horowitz, ISSCC 2014, 45 nm 0.9 V"
_ALADDIN = "Aladdin library, 40 nm, 1 ns"
_PLUGIN = "accelergy-cacti-plug-in table"
_RECALLED = "recalled, not checked"
_CACTI = "fit to a CACTI 7 sweep, 45 nm itrs-lstp (cross-validated error 13 % energy, 8 % area)"
_ARTIFACT = "Sparseloop artifact energy tables (46 components)"

CONSTANTS: Mapping[str, Constant] = {
    "multiply int 32": _constant(3.1, "pJ", _HOROWITZ, 0.6),
    "multiply int exponent": _constant(1.98, "", _HOROWITZ + ", from 8 and 32 bits", 0.6),
    "add int 32": _constant(0.1, "pJ", _HOROWITZ, 0.6),
    "add int exponent": _constant(0.87, "", _HOROWITZ + ", from 8 and 32 bits", 0.6),
    "multiply float 32": _constant(3.7, "pJ", _HOROWITZ, 0.6),
    "multiply float exponent": _constant(1.75, "", _HOROWITZ + ", from 16 and 32 bits", 0.5),
    "add float 32": _constant(0.9, "pJ", _HOROWITZ, 0.6),
    "add float exponent": _constant(1.17, "", _HOROWITZ + ", from 16 and 32 bits", 0.5),
    "area multiply int 32": _constant(3495, "um2", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area multiply int exponent": _constant(1.82, "", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area add int 32": _constant(137, "um2", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area add int exponent": _constant(0.96, "", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area multiply float 32": _constant(7700, "um2", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area multiply float exponent": _constant(2.23, "", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area add float 32": _constant(4184, "um2", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "area add float exponent": _constant(1.62, "", _HOROWITZ + " (areas " + _RECALLED + ")", 0.3),
    "register bit": _constant(0.009, "pJ/bit", _ALADDIN, 0.5),
    "register decode": _constant(0.0295, "pJ per 32 comparators", _ALADDIN, 0.4),
    "area register bit": _constant(5.98, "um2/bit", _ALADDIN, 0.5),
    "dram lpddr4": _constant(8.0, "pJ/bit", _PLUGIN + "; about 4 in Dally, CACM 2020", 0.5),
    "dram lpddr": _constant(40.0, "pJ/bit", _PLUGIN + ", citing Malladi, ISCA 2012", 0.5),
    "dram ddr3": _constant(70.0, "pJ/bit", _PLUGIN + ", citing Malladi, ISCA 2012", 0.5),
    "dram gddr5": _constant(14.0, "pJ/bit", _PLUGIN, 0.5),
    "dram hbm2": _constant(3.9, "pJ/bit", _PLUGIN + "; 3.97 in O'Connor, MICRO 2017", 0.5),
    "dram hmc": _constant(4.2, "pJ/bit", _PLUGIN, 0.5),
    "dram hbm3": _constant(4.05, "pJ/bit", "hwcomponents table", 0.2),
    "dram hbm4": _constant(3.2, "pJ/bit", "hwcomponents table", 0.2),
    "dram ddr4": _constant(17.5, "pJ/bit", _RECALLED, 0.1),
    "dram gddr6": _constant(7.5, "pJ/bit", _RECALLED, 0.1),
    "dram lpddr5": _constant(5.0, "pJ/bit", _RECALLED, 0.1),
    "intersect": _constant(0.61, "pJ at 40 nm", "ExTensor intersection try as modelled by TeAAL", 0.3),
    "gated regfile": _constant(0.02, "of a read", _ARTIFACT + ", 0.8 to 4 %", 0.3),
    "gated sram": _constant(0.0002, "of a read", _ARTIFACT + ", 0.001 to 0.05 %", 0.3),
    "gated dram": _constant(0.0, "of a read", _ARTIFACT, 0.3),
    "gated compute": _constant(0.03, "of a compute", _ARTIFACT + ", 3 to 6.5 %", 0.3),
    "sram read": _constant(1.0, "form below", _CACTI, 0.4),
    "sram write": _constant(1.0, "form below", _CACTI, 0.4),
    "sram area": _constant(1.0, "form below", _CACTI, 0.4),
    "timeloop": _constant(1.0, "formula", "Timeloop's built-in table (PAT)", 0.2),
}
"""Every number this module uses, with its source. The SRAM forms are sums of monomials, below."""

Monomials = tuple[tuple[float, float, float], ...]
"""(power of width / 32 bits, power of capacity in KB, factor) of a single-bank SRAM."""

SRAM_READ_PJ: Monomials = (
    (0, 0.5, 0.12182 + 0.72777),
    (0, 0.75, 0.018706 + 0.0010739),
    (0.5, 0.5, 0.34749),
    (1, 0.5, 0.25575),
    (1, 0.75, 0.052379 + 0.0067866),
    (2, 0, 0.045378),
)
SRAM_WRITE_PJ: Monomials = (
    (0, 0.5, 0.4152 + 0.15407),
    (0, 0.75, 0.022041),
    (0, 1, 0.0014811),
    (0.5, 0.25, 0.37745),
    (0.5, 0.5, 0.038481),
    (1, 0.25, 0.12169),
    (1, 0.5, 0.63661 + 0.10591),
    (2, 0, 0.039099),
    (2, 1, 7.4593e-05),
)
SRAM_AREA_MM2: Monomials = (
    (0, 0, 5.6132e-05),
    (0, 0.75, 0.00078941),
    (0, 1, 0.002903),
    (0.5, 1, 1.1027e-05),
    (1, 1, 2.906e-05),
    (1.5, 0, 0.00031039),
    (2, 0, 7.8223e-05),
)

SCALES: Mapping[str, tuple[tuple[float, float], ...]] = {
    "sram": ((22, 0.2446), (32, 0.5529), (45, 1.0), (65, 1.8745), (90, 3.3716)),
    "logic": ((7, 0.064), (16, 0.14), (32, 0.60), (45, 1.0), (65, 1.65), (90, 3.16)),
    "area": ((22, 0.2493), (32, 0.5165), (45, 1.0), (65, 2.0668), (90, 3.8484)),
}
"""Value at a node (nm) relative to 45 nm: SRAM energy and area from CACTI 7, logic energy from Stillmaker and Baas
(2017) at nominal supplies."""
BELOW_EXPONENT = {"sram": 0.5, "logic": 0.5, "area": 1.0}
"""Power of the node below the table (IRDS rule used by hwcomponents); above it the power is 2."""


def scale(kind: str, node_nm: float | None) -> float:
    """Energy or area at `node_nm` relative to 45 nm: log-log interpolation, power laws outside the table."""
    node, table = node_nm or DEFAULT_NODE_NM, SCALES[kind]
    if node <= table[0][0]:
        return table[0][1] * (node / table[0][0]) ** BELOW_EXPONENT[kind]
    for (low, at_low), (high, at_high) in itertools.pairwise(table):
        if node <= high:
            t = math.log(node / low) / math.log(high / low)
            return at_low ** (1 - t) * at_high**t
    return table[-1][1] * (node / table[-1][0]) ** 2


def _cited(value: float, key: str) -> Estimate:
    """A value derived from the constant `key`."""
    constant = CONSTANTS[key]
    return Estimate(value=value, source=constant.citation, confidence=constant.confidence)


def _power(key: str, bits: float) -> float:
    """Horowitz anchor at 32 bits scaled by width: value * (bits / 32) ** exponent."""
    return CONSTANTS[f"{key} 32"].value * (bits / 32) ** CONSTANTS[f"{key} exponent"].value


def _sum(form: Monomials, width_bits: float, kilobytes: float) -> float:
    """Sum of factor * (width / 32) ** a * capacity ** b."""
    return sum(factor * (width_bits / 32) ** a * kilobytes**b for a, b, factor in form)


def _access(component: Component, write: bool) -> Estimate | None:
    """One physical access of one instance, pJ; None if the size is unknown."""
    node, share = component.node_nm, component.cluster_size
    if component.family == "dram":
        key = f"dram {(component.type or 'lpddr4').lower()}"
        return _cited(CONSTANTS[key].value * component.access_bits / share, key) if key in CONSTANTS else None
    if component.family == "regfile":
        return _register_access(component)
    if not component.capacity_words:
        return None
    form, key = (SRAM_WRITE_PJ, "sram write") if write else (SRAM_READ_PJ, "sram read")
    kilobytes = component.array_bits / 8192
    fitted = _cited(_sum(form, component.access_bits, kilobytes) * scale("sram", node) / share, key)
    if not component.tiny:
        return fitted
    return min(fitted, _register_access(component), key=lambda e: e.value)


def _register_access(component: Component) -> Estimate:
    """A register file: per bit, and a decoder of depth * log2(depth)."""
    rows = max(component.rows, 1)
    decode = CONSTANTS["register decode"].value * rows * math.log2(rows) / 32
    energy = CONSTANTS["register bit"].value * component.access_bits + decode
    node_scale = scale("logic", component.node_nm) / scale("logic", 40)
    return _cited(energy * node_scale / component.cluster_size, "register bit")


def _compute(component: Component) -> Estimate:
    """One multiply-accumulate: multiplier of the word width and an adder of at least 32 bits, pJ."""
    kind = "float" if component.family == "float" else "int"
    adder = component.word_bits if kind == "float" else max(32, component.word_bits)
    energy = _power(f"multiply {kind}", component.word_bits) + _power(f"add {kind}", adder)
    return _cited(energy * scale("logic", component.node_nm), f"multiply {kind} 32")


def _adder(component: Component, bits: float) -> Estimate:
    """One integer addition, pJ."""
    return _cited(_power("add int", bits) * scale("logic", component.node_nm), "add int 32")


def energy(component: Component, action: str, known: Mapping[str, Estimate]) -> Estimate | None:
    """Estimate of one action in pJ; `known` holds the prices found so far (gated ones are fractions of them)."""
    if action.startswith("skipped_"):
        return Estimate(value=0.0, source="skipped: nothing happens")
    if action.startswith("gated_"):
        return _gated(component, known.get(action.removeprefix("gated_")))
    if action.startswith("metadata_"):
        return _metadata(component, known.get(action.removeprefix("metadata_")))
    if action in ("read", "fill", "update"):
        return _access(component, write=action != "read")
    if action == "compute":
        return _compute(component)
    if action in ("decompress", "compress"):
        return _adder(component, component.metadata_access_bits or 8)
    if action == "reduction":
        return _adder(component, component.word_bits)
    if action == "intersect":
        constant = CONSTANTS["intersect"]
        return _cited(constant.value / scale("logic", 40) * scale("logic", component.node_nm), "intersect")
    return Estimate(value=0.0, source="not charged unless given", confidence=0.0)  # address_generation, leak


def _gated(component: Component, actual: Estimate | None) -> Estimate | None:
    """Idle energy of a gated slot as a fraction of the actual action."""
    key = "gated compute" if component.kind == "compute" else f"gated {component.family}"
    return None if actual is None else _cited(CONSTANTS[key].value * actual.value, key)


def _metadata(component: Component, data: Estimate | None) -> Estimate | None:
    """A metadata access, by its bits relative to a data access."""
    if component.metadata_access_bits == 0:
        return Estimate(value=0.0, source="metadata access of 0 bits")
    if data is None:
        return None
    share = component.metadata_access_bits / (component.word_bits * component.block_size)
    source = f"{component.metadata_access_bits:g}-bit share of: {data.source}"
    return Estimate(value=data.value * share, source=source, confidence=data.confidence * 0.7)


def area(component: Component) -> Estimate | None:
    """Area of one instance in um2; None if the size is unknown."""
    node_scale = scale("area", component.node_nm)
    if component.kind == "compute":
        kind = "float" if component.family == "float" else "int"
        value = _power(f"area multiply {kind}", component.word_bits) + _power(f"area add {kind}", max(32, component.word_bits))
        return _cited(value * node_scale, f"area multiply {kind} 32")
    if component.family == "dram":
        return Estimate(value=0.0, source="off chip")
    if not component.capacity_words:
        return None
    share = node_scale / component.cluster_size
    if component.family == "regfile":
        per_bit = CONSTANTS["area register bit"].value / scale("area", 40)
        return _cited(per_bit * component.array_bits * share, "area register bit")
    value = 1e6 * _sum(SRAM_AREA_MM2, component.access_bits, component.array_bits / 8192)
    fitted = _cited(value * share, "sram area")
    if not component.tiny:
        return fitted
    per_bit = CONSTANTS["area register bit"].value / scale("area", 40)
    return min(fitted, _cited(per_bit * component.array_bits * share, "area register bit"), key=lambda e: e.value)


def timeloop_energy(component: Component) -> Estimate | None:
    """Timeloop's built-in price of one vector access or compute, pJ (dense.md section 2.6); None without a size."""
    word = component.word_bits
    if component.kind == "compute":
        return _cited((word / 16) ** 2, "timeloop")
    if component.family == "dram":
        return _cited(200 * word * component.block_size / 16, "timeloop")
    if component.capacity_words is None:
        return None
    if component.capacity_words == 0:
        return _cited(0.0, "timeloop")
    kilobytes = component.array_bits / 8192
    per_bit = 5 / 99.5 * (kilobytes - 0.5) + 1
    return _cited(per_bit * component.access_bits / 16 / component.cluster_size, "timeloop")
