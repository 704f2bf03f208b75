"""AccelForge's workload: einsums as text or as lists of accesses, sizes of ranks and ranges of rank variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from sparseloop.input.timeloop.sections import Plain, Section, quoted

_ACCESS = re.compile(r"\s*(?P<name>[^\W\d]\w*)\s*(?:\((?P<role>\w+)\))?\s*\[(?P<inside>[^\]]*)\]\s*")
_CALL = re.compile(r"^\s*(?P<name>[^\W\d]\w*)\s*\((?P<inside>.*)\)\s*$")
_RANGE = re.compile(r"^\s*(?P<low>\d+)\s*<=\s*(?P<name>[^\W\d]\w*)\s*<\s*(?P<high>\d+)\s*$")
_VARIABLE = re.compile(r"[^\W\d]\w*")
DEFAULT_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A tensor with its indices: one expression of rank variables per rank, and the rank's name where one is written."""

    tensor: str
    indices: tuple[str, ...]
    ranks: tuple[str, ...]
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeEinsum:
    """One einsum: the native workload, and the sets of tensors that architectures speak of."""

    native: dict[str, Plain]
    inputs: frozenset[str]
    outputs: frozenset[str]
    intermediates: frozenset[str]
    """Tensors that one einsum makes and another one reads."""
    roles: Mapping[str, frozenset[str]]
    """input, weight, output, and other names."""
    bits: Mapping[str, int]

    @property
    def tensors(self) -> frozenset[str]:
        """All of them."""
        return self.inputs | self.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """An einsum as it is written."""

    name: str
    output: Access
    inputs: tuple[Access, ...]
    sizes: Mapping[str, int]
    renames: Mapping[str, str]
    section: Section


def read_workload(root: Section) -> list[ForgeEinsum]:
    """All einsums of the workload; mistakes are logged."""
    workload = root.section("workload")
    if workload is None:
        root.log.error((), "no 'workload' in the files", "AccelForge's architecture needs its workload: give that file, too")
        return []
    sizes = dict(_sizes(workload))
    ranges = dict(_ranges(workload, "iteration_space_shape", "shape"))
    written = [one for i, item in enumerate(workload.items("einsums")) if (one := _einsum(item, i, workload, ranges))]
    made = {one.output.tensor for one in written}
    used = {access.tensor for one in written for access in one.inputs}
    bits = workload.section("bits_per_value")
    widths = {name: bits.count(name) or DEFAULT_BITS for name in map(str, bits.data)} if bits else {}
    result = [_finished(one, sizes, widths, frozenset(made & used)) for one in written]
    workload.unused({"version": "format"}, "the workload")
    return [one for one in result if one is not None]


def _sizes(workload: Section) -> Iterator[tuple[str, int]]:
    section = workload.section("rank_sizes")
    for name in section.data if section else ():
        size = section.count(str(name)) if section else None
        if size is not None:
            yield str(name), size


def _ranges(holder: Section, *keys: str) -> Iterator[tuple[str, int]]:
    """Sizes of rank variables written as ranges: {m: 0 <= m < 128}, or a list of such texts."""
    for key in keys:
        if not holder.has(key):
            continue
        value = holder.take(key)
        texts = list(cast("dict[str, Plain]", value).values()) if isinstance(value, dict) else value
        for text in cast("list[Plain]", texts) if isinstance(texts, list) else [texts]:
            found = _RANGE.match(str(text))
            if found is None:
                holder.log.error(holder.key_path(key), f"cannot read the range {quoted(text)}", "write 0 <= m < 128")
                continue
            if found["low"] != "0":
                holder.log.note(holder.key_path(key), f"{found['name']} begins at 0, not at {found['low']}")
            yield found["name"], int(found["high"]) - int(found["low"])


# --- one einsum ---------------------------------------------------------------------------------------------


def _einsum(item: Plain, position: int, workload: Section, ranges: Mapping[str, int]) -> _Written | None:
    path = (*workload.key_path("einsums"), position)
    data: dict[str, Plain] = cast("dict[str, Plain]", item) if isinstance(item, dict) else {"einsum": item}
    section = Section(data, path, workload.log)
    text = section.text("einsum")
    renames = section.section("renames")
    named = {str(role): str(renames.take(str(role))) for role in renames.data} if renames else {}
    own = dict(_ranges(section, "iteration_space_shape", "shape"))
    accesses = list(_accesses_of_text(text, section)) if text is not None else list(_accesses_of_list(section))
    if section.flag("is_copy_operation"):
        section.log.note(section.key_path("is_copy_operation"), "a copy is counted like any einsum of one operand")
    section.take("name")
    section.unused(what="an einsum")
    outputs = [access for access in accesses if access.role == "output"]
    inputs = [access for access in accesses if access.role != "output"]
    if len(outputs) != 1 or not inputs:
        section.log.error(path, f"an einsum has one result and at least one operand, here {len(outputs)} and {len(inputs)}")
        return None
    roles = {access.role: access.tensor for access in accesses if access.role}
    return _Written(
        name=section.text("name") or outputs[0].tensor,
        output=outputs[0],
        inputs=tuple(inputs),
        sizes={**ranges, **own},
        renames={**roles, **named},
        section=section,
    )


def _accesses_of_text(text: str, section: Section) -> Iterator[Access]:
    """'V[b, m, h] = I[b, m, d] * WV[h, d]'; operands may stand in a function, and name their role: K(weight)[...]."""
    left, equals, right = text.partition("=") if "[" not in text.split("=", 1)[0] else _split_at_result(text)
    if call := _CALL.match(right):
        section.log.note(section.path, f"the function '{call['name']}' is counted as one operation per point")
        right = call["inside"]
    found = [_ACCESS.fullmatch(left), *(_ACCESS.fullmatch(part) for part in re.split(r"[*+](?![^\[]*\])", right))]
    if not equals or any(access is None for access in found):
        section.log.error(section.path, f"cannot read the einsum {quoted(text)}", "write Z[m, n] = A[m, k] * B[k, n]")
        return
    for i, access in enumerate(found):
        assert access is not None
        parts = [part.strip() for part in access["inside"].split(",") if part.strip()]
        pairs = [_index(part) for part in parts]
        yield Access(
            tensor=access["name"],
            indices=tuple(index for _, index in pairs),
            ranks=tuple(rank for rank, _ in pairs),
            role="output" if i == 0 else access["role"] or "",
        )


def _split_at_result(text: str) -> tuple[str, str, str]:
    """Before and after the '=' that follows the brackets of the result: those inside may hold one, too."""
    end = text.find("]") + 1
    before, equals, after = text[end:].partition("=")
    return text[:end] + before, equals, after


def _index(text: str) -> tuple[str, str]:
    """(rank, index): 'm' is an index of rank M; 'M: p' and 'M=p' name the rank."""
    for sign in (":", "="):
        rank, found, index = text.partition(sign)
        if found:
            return rank.strip(), index.strip()
    return text.upper() if _VARIABLE.fullmatch(text) else "", text


def _accesses_of_list(section: Section) -> Iterator[Access]:
    for item in section.sections("tensor_accesses"):
        name, value = item.text("name") or "?", item.take("projection")
        if isinstance(value, dict):
            pairs = [(str(rank), str(index)) for rank, index in cast("dict[str, Plain]", value).items()]
        else:
            listed = cast("list[Plain]", value) if isinstance(value, list) else []
            pairs = [_index(str(index)) for index in listed]
        role = "output" if item.flag("output") else ""
        yield Access(tensor=name, indices=tuple(i for _, i in pairs), ranks=tuple(r for r, _ in pairs), role=role)
        item.unused(what="a tensor access")


def _finished(
    written: _Written, sizes: Mapping[str, int], widths: Mapping[str, int], intermediates: frozenset[str]
) -> ForgeEinsum | None:
    """The einsum with the sizes of its variables: written ranges, else the size of the rank of the same name."""
    accesses = (written.output, *written.inputs)
    shape = dict[str, int]()
    for access in accesses:
        for rank, index in zip(access.ranks, access.indices, strict=True):
            for variable in _VARIABLE.findall(index):
                alone = sizes.get(rank) if index == variable else None
                size = written.sizes.get(variable) or sizes.get(variable.upper()) or sizes.get(variable) or alone
                if size is None and variable not in shape:
                    written.section.log.error(written.section.path, f"nothing says how large '{variable}' is")
                elif size is not None:
                    shape.setdefault(variable, size)
    text = " * ".join(_text(access) for access in written.inputs)
    inputs, output = [access.tensor for access in written.inputs], written.output.tensor
    default = widths.get("All", DEFAULT_BITS)
    bits = {name: widths.get(name, default) for name in (*inputs, output)}
    native: dict[str, Plain] = {
        "name": written.name,
        "einsum": f"{_text(written.output)} = {text}",
        "shape": shape,
        "word_bits": bits,
    }
    if len(set(inputs)) < len(inputs) or output in inputs:
        written.section.log.error(written.section.path, f"einsum '{written.name}' uses a tensor twice, which is not modelled")
        return None
    return ForgeEinsum(
        native=native,
        inputs=frozenset(inputs),
        outputs=frozenset({output}),
        intermediates=intermediates & {*inputs, output},
        roles=_roles(written, intermediates),
        bits=bits,
    )


def _text(access: Access) -> str:
    return f"{access.tensor}[{', '.join(access.indices)}]"


def _roles(written: _Written, intermediates: frozenset[str]) -> dict[str, frozenset[str]]:
    """input, weight and output: as written; else the input is the intermediate operand (the first one), the weight the other."""
    names = [access.tensor for access in written.inputs]
    ordered = sorted(names, key=lambda name: name not in intermediates)
    roles = {"output": frozenset({written.output.tensor}), "input": frozenset(ordered[:1]), "weight": frozenset(ordered[1:])}
    given = {role: frozenset({name}) for role, name in written.renames.items() if name in (*names, written.output.tensor)}
    if "input" in given and "weight" not in given:
        given["weight"] = frozenset(names) - given["input"]
    if "weight" in given and "input" not in given:
        given["input"] = frozenset(names) - given["weight"]
    return roles | given
