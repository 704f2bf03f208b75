"""AccelForge's architecture: a hierarchy of memories, containers with fanouts, and a compute unit, as native levels.

Its sizes are in bits, energies in J per action of `bits_per_action` bits (1 where nothing is written), latencies in s, areas in
m2. Ours are words, pJ, cycles and um2.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sparseloop.input.accelforge.workload import DEFAULT_BITS, ForgeEinsum
from sparseloop.input.timeloop.sections import Plain, Section
from sparseloop.input.yaml.nodes import TAG

_CLASSES = (
    ("dram", ("dram", "ddr", "hbm")),
    ("sram", ("sram", "buffer", "cache")),
    ("regfile", ("regfile", "register")),
)
_FREE = ("dummy",)
_STORAGE = {"read": ("read",), "write": ("fill", "update")}
_LAID_OUT = ("Hierarchical", "Array")
_UNREAD = {
    "total_latency": "the time of a level follows from its bandwidth",
    "extra_attributes_for_component_model": "the models of its components are not asked",
    "leak_power": "leakage is estimated here",
    "area": "areas are estimated here",
    "support_concurrent_binding": "one einsum runs at a time",
    "separate_read_write_ports": "reads and writes have bandwidths of their own here",
}
_BITS = re.compile(r"([^\W\d]\w*)\.bits_per_value")
_COUNT = re.compile(r"len\(All\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeMachine:
    """The native architecture, and the constraints of each einsum."""

    architecture: dict[str, Plain]
    constraints: tuple[dict[str, Plain], ...]


@dataclass(kw_only=True)
class _Reader:
    """The levels read so far."""

    einsums: Sequence[ForgeEinsum]
    levels: list[Plain] = field(default_factory=list[Plain])
    kept: list[tuple[str, Section]] = field(default_factory=list[tuple[str, Section]])
    """Storage levels with what they say of tensors."""
    frequency: float | None = None
    computes: int = 0
    node: Plain = None

    @property
    def word_bits(self) -> int:
        """Bits of a value: of the widest tensor."""
        return max((bits for einsum in self.einsums for bits in einsum.bits.values()), default=DEFAULT_BITS)

    def scope(self, section: Section) -> dict[str, Plain]:
        """Names of expressions: tensors and roles are there (1), `inf` is unlimited."""
        names = {name: 1 for einsum in self.einsums for name in (*einsum.tensors, *einsum.roles)}
        return {**section.log.variables, **names}


def read_machine(root: Section, einsums: Sequence[ForgeEinsum]) -> ForgeMachine:
    """The architecture in the files; mistakes are logged, and notes say what has no counterpart."""
    arch = root.section("arch", "architecture")
    if arch is None:
        root.log.error((), "no 'arch' in the files", "AccelForge's workload needs an architecture: give that file, too")
        return ForgeMachine(architecture={}, constraints=())
    reader = _Reader(einsums=einsums)
    _read_technology(arch, reader)
    _read_nodes(arch, reader)
    arch.unused({"name": "label", "version": "format"}, "the architecture")
    storage = len(reader.kept)
    if reader.computes != 1 or not storage:
        message = f"one !Compute and at least one !Memory are needed, here {reader.computes} and {storage}"
        root.log.error(arch.path, message, "set `enabled: false` at the compute units that do not run this workload")
    architecture: dict[str, Plain] = {"name": arch.text("name") or "architecture", "levels": reader.levels}
    if reader.node is not None:
        architecture["node"] = reader.node
    if reader.frequency is not None:
        architecture["clock"] = float(f"{reader.frequency:.12g}")
    _in_cycles(reader)
    return ForgeMachine(architecture=architecture, constraints=tuple(_constraints(reader, einsum) for einsum in einsums))


def _read_technology(arch: Section, reader: _Reader) -> None:
    extra = arch.section("extra_attributes_for_all_component_models")
    node = extra.number("tech_node") if extra else None
    if node:
        reader.node = f"{node * 1e9:.6g}nm"
    if extra:
        extra.unused(what="extra_attributes_for_all_component_models")


# --- nodes --------------------------------------------------------------------------------------------------


def _read_nodes(holder: Section, reader: _Reader) -> None:
    for node in holder.sections("nodes"):
        kind = node.text(TAG) or ""
        if not _enabled(node, reader):
            continue
        name = node.text("name") or kind
        if kind in _LAID_OUT:
            _read_nodes(node, reader)
        elif kind in ("Container", "Fanout"):
            _read_fanout(node, name, reader)
        elif kind == "Memory":
            _read_fanout(node, f"{name}_array", reader)
            reader.levels.append(_memory(node, name, reader))
        elif kind == "Compute":
            _read_fanout(node, f"{name}_array", reader)
            reader.levels.append(_compute(node, name, reader))
        elif kind in ("Toll", "Network"):
            node.log.note(node.path, f"'{name}' (!{kind}) has no counterpart: transfers have the prices of networks here")
            continue
        else:
            node.log.error(node.path, f"a node !{kind} is not modelled: the machine is a chain of levels")
            continue
        node.unused({TAG: "tag", "name": "read", **_UNREAD}, f"node {name}")


def _enabled(node: Section, reader: _Reader) -> bool:
    """Whether a node takes part; a condition may count the tensors of the einsum: `len(All) == 3`."""
    value = node.data.get("enabled", True)
    if not isinstance(value, str):
        return node.flag("enabled") is not False
    node.take("enabled")
    count = max((len(einsum.tensors) for einsum in reader.einsums), default=3)
    found = Section({"enabled": _COUNT.sub(str(count), value)}, node.path, node.log).flag("enabled")
    return found is not False


def _read_fanout(node: Section, name: str, reader: _Reader) -> None:
    """`spatial`: a list of dimensions; the first lies along x, the second along y, further ones along y, too."""
    entries = node.sections("spatial")
    sizes = [entry.count("fanout") or 1 for entry in entries]
    for entry in entries:
        for key in ("reuse", "may_reuse", "min_usage"):
            if entry.has(key):
                entry.take(key)
                text = f"'{key}' has no counterpart: restrict the fanout '{name}' under constraints"
                entry.log.note(entry.key_path(key), text)
        entry.unused({"name": "label"}, "spatial")
    if math.prod(sizes) > 1:
        reader.levels.append({"name": name, "fanout": {"x": sizes[0], "y": math.prod(sizes[1:])}})


def _memory(node: Section, name: str, reader: _Reader) -> dict[str, Plain]:
    class_name = (node.text("component_class") or "").lower()
    size = _expression(node, "size", reader)
    word = reader.word_bits
    unlimited = size is None or math.isinf(size)
    known = next((ours for ours, words in _CLASSES if any(part in class_name for part in words)), None)
    level: dict[str, Plain] = {
        "name": name,
        "class": known or ("dram" if unlimited and not reader.kept else "buffer" if unlimited else "sram"),
        "kind": "storage",
        "word_bits": word,
    }
    if known == "dram" and class_name not in ("dram",):
        level["type"] = class_name.upper()
    if not unlimited and size is not None:
        level["capacity"] = f"{size:.15g} bits"
    energy, bandwidth = _actions(node, reader, _STORAGE)
    if any(part in class_name for part in _FREE):
        energy = dict.fromkeys(("read", "fill", "update", "leak"), 0.0)
        level |= {"area": 0}
    if energy:
        level["energy"] = energy
    else:
        node.log.note(node.path, f"'{name}' states no energies: they are estimated here")
    if bandwidth:
        level["bandwidth"] = bandwidth
    tensors = node.section("tensors") or Section({}, node.path, node.log)
    if node.has("bits_per_value_scale"):
        node.take("bits_per_value_scale")
        node.log.note(node.key_path("bits_per_value_scale"), "words have the same bits at all levels here")
    reader.kept.append((name, tensors))
    return level


def _compute(node: Section, name: str, reader: _Reader) -> dict[str, Plain]:
    class_name = (node.text("component_class") or "").lower()
    reader.computes += 1
    level: dict[str, Plain] = {
        "name": name,
        "class": "fpmac" if class_name.startswith("fp") else "mac",
        "kind": "compute",
        "word_bits": reader.word_bits,
    }
    for action in node.sections("actions"):
        if action.text("name") == "compute":
            energy, latency = _expression(action, "energy", reader), _expression(action, "latency", reader)
            rate = _expression(action, "throughput", reader)
            if energy is not None:
                level["energy"] = {"compute": energy * 1e12}
            reader.frequency = rate if rate and math.isfinite(rate) else 1 / latency if latency else None
        action.unused({"name": "read", "bits_per_action": "per compute"}, "an action")
    if "energy" not in level:
        node.log.note(node.path, f"'{name}' states no energies: they are estimated here")
    return level


def _actions(node: Section, reader: _Reader, names: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """(energy in pJ per word, bandwidth in bits per second) of reads and writes."""
    energy, bandwidth = dict[str, Plain](), dict[str, Plain]()
    for action in node.sections("actions"):
        name = action.text("name") or ""
        bits = _expression(action, "bits_per_action", reader) or 1.0
        joules, latency = _expression(action, "energy", reader), _expression(action, "latency", reader)
        rate = _expression(action, "throughput", reader)
        rate = rate if rate and math.isfinite(rate) else 1 / latency if latency else None
        if name not in names:
            action.log.note(action.path, f"the action '{name}' has no counterpart")
        else:
            if joules is not None:
                energy |= dict.fromkeys(names[name], joules * 1e12 * reader.word_bits / bits)
            if rate:
                bandwidth[name] = bits * rate
        action.unused({"name": "read"}, "an action")
    return energy, bandwidth


def _in_cycles(reader: _Reader) -> None:
    """Bandwidths in bits per cycle, once the clock is known: that of the compute unit, else 1 GHz."""
    clock = reader.frequency or 1e9
    for level in cast("list[dict[str, Plain]]", reader.levels):
        if "bandwidth" in level:
            level["bandwidth"] = {name: f"{rate / clock:.15g} bits/cycle" for name, rate in level["bandwidth"].items()}


def _expression(node: Section, key: str, reader: _Reader) -> float | None:
    """A number that may speak of tensors: '1024 * 8', 'inf', 'weight.bits_per_value if weight else 0'."""
    value = node.take(key)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    text = str(value).strip()
    if text.lstrip("+").lower() in ("inf", ".inf"):
        return math.inf
    text = _BITS.sub(lambda match: str(_bits(match[1], reader)), text)
    return Section({key: text}, node.path, node.log, scope=reader.scope(node)).number(key)


def _bits(name: str, reader: _Reader) -> int:
    found = [einsum.bits.get(tensor, 0) for einsum in reader.einsums for tensor in (einsum.roles.get(name) or {name})]
    return max(found, default=reader.word_bits) or reader.word_bits


# --- which level keeps which tensor ---------------------------------------------------------------------------


def _constraints(reader: _Reader, einsum: ForgeEinsum) -> dict[str, Plain]:
    """keep and bypass of every level but the outermost, which keeps all here."""
    result, before = dict[str, Plain](), dict[str, frozenset[str]]()
    for position, (name, tensors) in enumerate(reader.kept):
        keep = _set(tensors, "keep", einsum, before)
        may = _set(tensors, "may_keep", einsum, before)
        kept = frozenset[str]() if keep is None else keep
        allowed = kept | (may if may is not None else frozenset[str]() if keep is not None else einsum.tensors)
        before[name] = einsum.tensors if position == 0 else kept
        if position == 0:
            continue
        chosen = {"keep": sorted(kept), "bypass": sorted(einsum.tensors - allowed)}
        if any(chosen.values()):
            result[name] = {key: value for key, value in chosen.items() if value}
    for _, tensors in reader.kept:
        tensors.unused(what="tensors")
    return result


_Tensors = frozenset[str]
_OPERATIONS: Mapping[type[ast.operator], Callable[[_Tensors, _Tensors], _Tensors]] = {
    ast.BitOr: lambda a, b: a | b,
    ast.BitAnd: lambda a, b: a & b,
    ast.Sub: lambda a, b: a - b,
}


def _set(section: Section, key: str, einsum: ForgeEinsum, before: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """A set of tensors as AccelForge writes it: '~Intermediates', 'input | output', 'All - MainMemory'."""
    value = section.take(key)
    if value is None:
        return None
    text = " | ".join(map(str, cast("list[Plain]", value))) if isinstance(value, list) else str(value)
    names: dict[str, frozenset[str]] = {
        **{name: frozenset({name}) for name in einsum.tensors},
        **einsum.roles,
        **before,
        "All": einsum.tensors,
        "Nothing": frozenset(),
        "Inputs": einsum.inputs,
        "Outputs": einsum.outputs,
        "Intermediates": einsum.intermediates,
    }

    def found(node: ast.expr) -> frozenset[str]:
        if isinstance(node, ast.Name):
            return names.get(node.id, frozenset())
        if isinstance(node, ast.Attribute) and node.attr == "tensors":
            return found(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            return einsum.tensors - found(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](found(node.left), found(node.right))
        raise ValueError

    try:
        return found(ast.parse(text.strip(), mode="eval").body) & einsum.tensors
    except (SyntaxError, ValueError, RecursionError):
        section.log.note(section.key_path(key), f"cannot read the set of tensors '{text}': left out")
        return None
