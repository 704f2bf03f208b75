"""Short notations: one-line strings of the native format become the structures of `spec`.

Every function takes what the user wrote and returns plain dicts and lists; what is not a short notation passes through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from sparseloop.input.diagnostics import did_you_mean
from sparseloop.input.expressions import Mistake, NotationError, wrong
from sparseloop.input.yaml.nodes import Plain

NAME = r"[^\W\d]\w*"
_DIGITS = 400

DEFAULT_WORD_BITS = 16
"""Width of a word where neither the tensor nor the level gives one."""


def whole_number(digits: str) -> int | str:
    """A whole number; text that is none, or has too many digits, stays text, which the field then refuses."""
    return int(digits) if digits.isdecimal() and len(digits) <= _DIGITS else digits


def _mistakes_at(error: NotationError, *path: str | int) -> Iterator[Mistake]:
    for p in error.mistakes:
        yield Mistake(p.message, p.hint, p.offset, p.length, (*path, *p.path))


# --- bandwidth, metadata, fanout ----------------------------------------------------------------------------


def parse_bandwidths(value: Plain) -> Plain:
    """A single bandwidth is shared by reads and writes."""
    return {"shared": value} if isinstance(value, int | float | str) else value


def parse_metadata(value: Plain) -> Plain:
    """A single size is the capacity."""
    return {"capacity": value} if isinstance(value, int | float | str) else value


def parse_fanout(value: Plain) -> Plain:
    """14 or '14' is {x: 14}; '14x12' is {x: 14, y: 12}."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", value)):
        return {"x": whole_number(match[1]), "y": whole_number(match[2])}
    if isinstance(value, list | tuple):
        raise wrong(f"expected 14, 14x12 or {{x: 14, y: 12}}, got {value}")
    return {"x": value} if isinstance(value, int | float | str) else value


# --- formats ------------------------------------------------------------------------------------------------

RANK_FORMATS = ("U", "UB", "B", "CP", "RLE", "UOP")
SHORTHANDS = {"csr": "UOP CP", "coo": "CP(*)", "bitmask": "B(*)", "dense": "U"}
_FORMAT = re.compile(r"[\s,]*([A-Za-z]\w*)\s*(?:\(([^()]*)\))?")


def parse_format(value: Plain) -> Plain:
    """'UOP(c) RLE(p,q;5)', outermost rank first, or csr, coo, bitmask, 2:4; a list of such or of dicts works too.

    n:m keeps of every non-zero its place in its group of m: CP(*) of ceil(log2 m) bits.
    """
    if isinstance(value, str):
        return {"ranks": list(_rank_formats(value))}
    if not isinstance(value, list | tuple):
        return value
    ranks, mistakes = list[Plain](), list[Mistake]()
    for i, item in enumerate(cast("list[Plain]", value)):
        try:
            ranks += _rank_formats(item) if isinstance(item, str) else [item]
        except NotationError as error:
            mistakes += _mistakes_at(error, i)
    if mistakes:
        raise NotationError(*mistakes)
    return {"ranks": ranks}


def _rank_formats(text: str) -> Iterator[dict[str, Plain]]:
    at, end = 0, len(text.rstrip())
    if not text.strip():
        raise wrong("empty format", "e.g. 'UOP CP' or csr")
    if groups := re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text):
        if not 0 < int(groups[1]) < int(groups[2]):
            raise wrong(f"'{text.strip()}' is no n:m format", "fewer values than places: 2:4", offset=groups.start(1), length=end)
        yield {"kind": "CP", "ranks": [["*"]], "metadata_bits": float((int(groups[2]) - 1).bit_length())}
        return
    while at < end:
        match = _FORMAT.match(text, at)
        if match is None:
            raise wrong(f"cannot read format at {text[at:].strip()!r}", "e.g. 'UOP(c) RLE(p,q;5)'", offset=at)
        name, start = match[1], match.start(1)
        if name in SHORTHANDS and match[2] is None:
            yield from _rank_formats(SHORTHANDS[name])
        elif name.upper() in RANK_FORMATS:
            yield _rank_format(name.upper(), match[2], match.start(2))
        elif name == "csc":
            raise wrong(
                "csc is not a format of its own", "'UOP CP': the loop order decides rows or columns", offset=start, length=3
            )
        else:
            hint = did_you_mean(name, [*RANK_FORMATS, *SHORTHANDS])
            raise wrong(f"unknown format '{name}'", hint, offset=start, length=len(name))
        at = match.end()


def _rank_format(kind: str, arguments: str | None, offset: int) -> dict[str, Plain]:
    """One rank: names are flattened rank variables, numbers are bits (metadata, then payload; UOP: payload)."""
    names, bits = list[str](), list[float]()
    for word in re.finditer(r"[^\s,;]+", arguments or ""):
        if re.fullmatch(rf"{NAME}|\*", word[0]):
            names.append(word[0])
        elif re.fullmatch(r"\d+(\.\d*)?", word[0]):
            bits.append(float(word[0]))
        else:
            hint = "rank variables, then ';' and the width in bits: RLE(p,q;5)"
            raise wrong(f"cannot read '{word[0]}' in {kind}(...)", hint, offset=offset + word.start(), length=len(word[0]))
    if len(bits) > 2:
        raise wrong(f"{kind}(...) takes at most two widths", "metadata bits, payload bits", offset=offset)
    widths = ["payload_bits"] if kind == "UOP" and len(bits) == 1 else ["metadata_bits", "payload_bits"]
    return {"kind": kind, "ranks": [names] if names else []} | dict(zip(widths, bits, strict=False))


# --- sparse acceleration features ---------------------------------------------------------------------------

_SAF = re.compile(rf"\s*({NAME})\s*(<->|<-)\s*(.*?)\s*$")


def parse_safs(value: Plain) -> Plain:
    """'W <- I & Z', 'A <-> B', {follower, leaders}, {options: [...]}, or a list of these; true and false pass through."""
    if value is None or isinstance(value, bool):
        return value
    items: list[Plain] = list(cast("list[Plain]", value)) if isinstance(value, list | tuple) else [value]
    result, mistakes, options = list[Plain](), list[Mistake](), 0
    for i, item in enumerate(items):
        at: tuple[int, ...] = (i,) if isinstance(value, list | tuple) else ()
        try:
            if isinstance(item, dict) and "options" in item:
                options += 1
                chosen = parse_safs(cast("dict[str, Plain]", item)["options"])
                if not chosen or isinstance(chosen, bool):
                    raise wrong("'options' is a list of features", "{options: [A <- B, B <- A]}")
                result += [_option(feature, -options) for feature in chosen]
            else:
                result += _saf(item) if isinstance(item, str) else [item]
        except NotationError as error:
            mistakes += _mistakes_at(error, *at)
    if mistakes:
        raise NotationError(*mistakes)
    return result


def _option(saf: Plain, choice: int) -> Plain:
    """A feature marked as one of several alternatives; negative numbers of alternatives hold within one list."""
    return {**cast("dict[str, Plain]", saf), "choice": choice} if isinstance(saf, dict) else saf


def _saf(text: str) -> list[Plain]:
    example = "write 'W <- I & Z' (W is followed, I and Z lead) or 'A <-> B'"
    match = _SAF.match(text)
    if match is None:
        raise wrong(f"cannot read feature {text.strip()!r}", example)
    follower, arrow, rest = match.groups()
    leaders = re.split(r"\s*[&,]\s*|\s+", rest)
    for leader in leaders:
        if not re.fullmatch(NAME, leader):
            at = match.start(3) + max(0, rest.find(leader))
            raise wrong(f"'{leader}' is not a tensor name", example, offset=at, length=max(1, len(leader)))
    if arrow == "<-":
        return [{"follower": follower, "leaders": leaders}]
    if len(leaders) > 1:
        raise wrong("'<->' stands between two tensors", example, offset=match.start(2), length=3)
    return [{"follower": follower, "leaders": leaders}, {"follower": leaders[0], "leaders": [follower]}]


# --- mapping ------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[|,]|[^\s|,=]+(?:\s*=\s*[^\s|,]*)?")
_LOOP = re.compile(rf"({NAME})\s*=\s*(\d+|{NAME})(?:~(\d+|{NAME}))?")
TENSOR_LISTS = ("keep", "bypass", "no_temporal_reuse", "no_multicast", "no_forwarding")


def parse_mapping(value: Plain) -> Plain:
    """The entries of a mapping as a list: {DRAM: 'for m=3', GLB: ...} becomes [{DRAM: 'for m=3'}, {GLB: ...}]."""
    if not isinstance(value, dict) or "target" in value:
        return cast("Plain", value)
    return [{name: line} for name, line in cast("dict[str, Plain]", value).items()]


def parse_mapping_entry(value: Plain) -> Plain:
    """'DRAM', {DRAM: 'for m=3 n=4 | keep I O | bypass W'}, {DRAM: {loops: ..., keep: ...}} or {target: DRAM, ...}."""
    if isinstance(value, str):
        return {"target": value}
    if not isinstance(value, dict):
        return value
    entry = cast("dict[str, Plain]", value)
    if "target" in entry:
        return _with_loops(entry)
    if len(entry) != 1:
        raise wrong("an entry of the mapping names one level", "'- GLB: for c=4 p=5 | keep I O'")
    ((target, line),) = entry.items()
    try:
        if line is None:
            return {"target": target}
        if isinstance(line, str):
            return {"target": target} | parse_mapping_line(line)
        long = isinstance(line, dict)
        return {"target": target} | (_with_loops(cast("dict[str, Plain]", line)) if long else {"loops": line})
    except NotationError as error:
        raise NotationError(*_mistakes_at(error, target)) from None


def _with_loops(entry: dict[str, Plain]) -> dict[str, Plain]:
    """Reads `loops: 'for m=3'` and lists written as 'I O' inside the long form."""
    result = dict(entry)
    for name, item in entry.items():
        if isinstance(item, str) and name in TENSOR_LISTS:
            result[name] = item.replace(",", " ").split()
        elif isinstance(item, str) and name == "loops":
            try:
                result["loops"] = parse_mapping_line(item).get("loops", [])
            except NotationError as error:
                raise NotationError(*_mistakes_at(error, "loops")) from None
    return result


def parse_mapping_line(text: str) -> dict[str, Plain]:
    """'for m=3 n=4 | keep I O', 'x q=14, y r=3 m=4', 'p=4~3' (bound 4, last pass 3): loops outermost first."""
    loops = list[Plain]()
    result: dict[str, Plain] = {}
    axis: str | None = None
    section = "for"
    for word in _WORD.finditer(text):
        token = word[0]
        if token == "|":
            section, axis = "", None
        elif token == ",":
            continue
        elif "=" in token:
            if section in TENSOR_LISTS:
                raise wrong(f"loop '{token}' inside '{section}'", "loops come first", offset=word.start(), length=len(token))
            section = "for"
            loops.append(_loop(token, axis, word.start()))
        elif token in ("for", "x", "y"):
            section, axis = "for", None if token == "for" else token
        elif token in TENSOR_LISTS and (section == "" or (section == "for" and not loops)):
            section = token
            result[token] = []
        elif section in TENSOR_LISTS:
            result[section].append(token)
        else:
            raise _stray(token, word.start(), section)
    return result | {"loops": loops}


def _stray(token: str, at: int, section: str) -> NotationError:
    if section == "":
        known = ["for", *TENSOR_LISTS]
        return wrong(f"unknown word '{token}' after '|'", did_you_mean(token, known), offset=at, length=len(token))
    hint = f"write '| {token} ...'" if token in TENSOR_LISTS else "a loop is written rank=bound, e.g. m=3"
    return wrong(f"cannot read '{token}'", hint, offset=at, length=len(token))


def _loop(token: str, axis: str | None, at: int) -> dict[str, Plain]:
    match = _LOOP.fullmatch(token)
    if match is None:
        hint = "rank=bound, or rank=bound~last for an imperfect factor: p=4~3"
        raise wrong(f"cannot read loop '{token}'", hint, offset=at, length=len(token))
    rank, bound, residual = match.groups()
    if (zero := next((group for group in (2, 3) if match[group] and match[group].strip("0") == ""), 0)) > 0:
        raise wrong(f"loop '{token}': a bound is at least 1", offset=at + match.start(zero), length=len(match[zero]))
    loop: dict[str, Plain] = {"rank": rank, "bound": whole_number(bound)}
    if residual is not None:
        loop["residual"] = whole_number(residual)
    return loop | ({"axis": axis} if axis else {})


# --- einsums ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IndexForm:
    """One affine index: offset + sum of coefficient * rank variable."""

    terms: tuple[tuple[str, int], ...]
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Access:
    """One tensor of an einsum with its indices; `start` is its column in the text."""

    name: str
    axes: tuple[IndexForm, ...]
    start: int


@dataclass(frozen=True, slots=True)
class EinsumText:
    """A parsed einsum: the result first, then the operands."""

    tensors: tuple[Access, ...]

    @property
    def ranks(self) -> tuple[str, ...]:
        """All rank variables in order of appearance."""
        return tuple(dict.fromkeys(name for t in self.tensors for axis in t.axes for name, _ in axis.terms))


_EXAMPLE = "e.g. Z[m,n] = A[m,k] * B[k,n]"
_ACCESS = re.compile(rf"\s*({NAME})\s*(?:\[([^\[\]]*)\])?\s*")
_TERM = re.compile(rf"\s*([+-]?)\s*(?:(\d+)\s*[*·]?\s*({NAME})|({NAME})\s*[*·]\s*(\d+)|({NAME})|(\d+))\s*")


def checked_einsum(text: Plain) -> Plain:
    """Checks the text of an einsum and returns it unchanged."""
    if isinstance(text, str):
        parse_einsum(text)
    return text


@lru_cache(maxsize=256)
def parse_einsum(text: str) -> EinsumText:
    """O[n,m,p,q] = I[n,c,2*p+r,2*q+s] * W[m,c,r,s]: any number of operands, affine indices."""
    tensors, at = list[Access](), 0
    while True:
        match = _ACCESS.match(text, at)
        if match is None:
            raise wrong(f"expected a tensor at {text[at:].strip()[:20]!r}", _EXAMPLE, offset=max(0, min(at, len(text) - 1)))
        name, start, at = match[1], match.start(1), match.end()
        if name in (t.name for t in tensors):
            raise wrong(f"tensor '{name}' appears twice", "give the second one a name of its own", offset=start, length=len(name))
        axes = tuple(_axes(match[2], match.start(2))) if match[2] and match[2].strip() else ()
        tensors.append(Access(name, axes, start))
        separator = re.compile(r"\+?=" if len(tensors) == 1 else r"[*×·]").match(text, at)
        if separator is None:
            break
        at = separator.end()
    if at < len(text):
        expected = "'='" if len(tensors) == 1 else "'*' or the end"
        raise wrong(f"expected {expected} at {text[at : at + 20]!r}", _EXAMPLE, offset=at)
    if len(tensors) < 2:
        raise wrong("an einsum needs a result and at least one operand", _EXAMPLE)
    return EinsumText(tuple(tensors))


def _axes(text: str, offset: int) -> Iterator[IndexForm]:
    for piece in re.finditer(r"[^,]*(?:,|$)", text):
        index = piece[0].rstrip(",")
        if piece.start() < len(text) or (text.rstrip().endswith(",") and not index):
            yield _index(index, offset + piece.start())


def _index(text: str, offset: int) -> IndexForm:
    terms, constant, at = dict[str, int](), 0, 0
    if not text.strip():
        raise wrong("empty index", _EXAMPLE, offset=offset)
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None or (at > 0 and not match[1]):
            raise wrong(f"cannot read index '{text.strip()}'", "sums of coefficient*rank, e.g. 2*p+r", offset=offset + at)
        sign = -1 if match[1] == "-" else 1
        rank = match[3] or match[4] or match[6]
        digits = match[2] or match[5] or match[7] or "1"
        if len(digits) > _DIGITS:
            raise wrong(f"{digits[:20]}... is too large", offset=offset + match.start())
        factor = int(digits)
        if rank:
            terms[rank] = terms.get(rank, 0) + sign * factor
        else:
            constant += sign * factor
        at = match.end()
    if zero := [rank for rank, c in terms.items() if c == 0]:
        raise wrong(f"rank '{zero[0]}' has coefficient 0", offset=offset)
    return IndexForm(tuple(terms.items()), constant)
