"""Valid specifications made wrong: keys renamed, types changed, extreme numbers, cut text, random bytes."""

from __future__ import annotations

import copy
import gzip
import json
import random
from functools import cache
from typing import Any

from sparseloop import designs as examples
from sparseloop.input.yaml import files as yamlio
from sparseloop.validation.timeloop.corpus import COMMITTED

GOLDEN_SEEDS = 12


class Raw(str):
    """YAML text that stands as it is, e.g. .nan."""


NUMBERS = (0, 1, -1, 2, 3, 7, 0.5, 1.5, -0.5, 1e-300, 5e-324, 1e300)
NUMBERS += (10**9, 2**31, 2**53, 2**53 + 1, 2**63, 10**18, 10**30, 10**300)
WORDS = ("", " ", "a", "0", "1e400", "-1", "50%", "150%", "2:4 c", "4:2 m", "w.npy", "nowhere.mtx", "é", "日本", "x" * 300)
WORDS += ("GLB", "DRAM", "MAC", "A", "I", "a.b", "a b", "for", "x m=3", "y", "for m=0", "m=3 | keep", "*", "csr", "CP(*)")
WORDS += ("UOP(", "A <-> A", "A <- B & B", "1/0", "2**9999", "-2**1090", "((((1))))", "8 KiB", "8 GB/s", "1 furlong")
WORDS += ("0 words", "0 bits", "-3 KiB", "Z[] = A[]", "Z = A", "Z[m] = A[m]*A[m]", "Z[m,n] = A[m,0*k]*B[k,n]")
WORDS += ("Z[m,n] = A[3*m-2*k+7,k]*B[k,n]", "\u202e", "\ufeff", "a\tb", "a\nb", "__import__('os').abort()")
RAW = (".nan", ".inf", "-.inf", "NaN", "1e400", "9" * 350, "9" * 500, "0x" + "f" * 60, "~", "!!python/name:os.abort ''")
RAW += ("!foo {}", "*a", "'")
STRUCTURES: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, {"x": {"y": 1}}, [1, [2, [3]]], [{}])
RENAMED = ("", "a", "x", "<<", "!", "name", "class", "target", "levels", "m", "A", "0", "é", "a.b", "no", "null", "density")
NOISE = ("\t", "  ", "\n", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: *a\n", "#", "'", '"', "|\n", "---\n", "...\n")
NOISE += ("%", "\x07", "\x00", "\ud800")


@cache
def seeds() -> tuple[dict[str, Any], ...]:
    """Plain data of the shipped designs and of some of Timeloop's files."""
    found = [*_designs(), *_golden()]
    return tuple(found)


def _designs() -> list[dict[str, Any]]:
    found = list[dict[str, Any]]()
    for folder in (path for path in examples.designs().values() if path.is_dir()):
        files = [(path, yamlio.load_files([path])[0]) for path in sorted(folder.rglob("*.yaml"))]
        base: dict[str, Any] = {}
        for _, data in files:
            base |= {key: value for key, value in data.items() if key not in base}
        found += [base | data for _, data in files if "workload" in data or "layers" in data]
    return found


def _golden() -> list[dict[str, Any]]:
    with gzip.open(COMMITTED, "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines][: GOLDEN_SEEDS * 100 : 100]
    return [yamlio.load_text("\n".join(case["inputs"].values()))[0] for case in cases]


# --- the data -----------------------------------------------------------------------------------------------


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything below the top."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in inside for place in ((*path, key), *places(value, (*path, key)))]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def nested(rng: random.Random) -> Any:
    value: Any = 1
    for _ in range(rng.choice((3, 30, 130))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def fresh(rng: random.Random) -> Any:
    """A value that nobody expects."""
    kind = rng.randrange(6)
    if kind == 0:
        return nested(rng) if rng.random() < 0.3 else copy.deepcopy(rng.choice(STRUCTURES))
    return rng.choice((NUMBERS, WORDS, NUMBERS, WORDS, WORDS)[kind - 1]) if kind < 5 else Raw(rng.choice(RAW))


def edited(rng: random.Random, text: str) -> str:
    """A few characters of a text changed; often a number or a name of it."""
    start = rng.randrange(len(text) + 1)
    piece = rng.choice(("", "0", "9" * 30, " ", ",", "=", "~", "|", "*", "[", ")", "é", "m=2 ", "-", ".", "A", "<-", "%", ":"))
    return text[:start] + piece + text[start + rng.randrange(4) :]


def change(rng: random.Random, data: dict[str, Any]) -> None:
    """One change somewhere, in place."""
    path = rng.choice(places(data) or [()])
    if not path:
        data[rng.choice(RENAMED)] = fresh(rng)
        return
    parent, key = at(data, path[:-1]), path[-1]
    value, kind = parent[key], rng.randrange(9)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(value))
    elif kind == 1 or (kind == 2 and isinstance(parent, dict)):
        name = rng.choice(RENAMED) if rng.random() < 0.5 else edited(rng, str(key))
        parent[name] = parent[key] if kind == 1 else parent.pop(key)
    elif kind == 3:
        parent[key] = copy.deepcopy(at(data, rng.choice(places(data))))
    elif kind == 4 and isinstance(value, str):
        parent[key] = edited(rng, value)
    elif kind == 5 and isinstance(value, int | float):
        parent[key] = rng.choice((value + 1, value * 2, -value, value * 10**20, value / 3, 0, str(value)))
    elif kind == 6 and isinstance(parent, list):
        rng.shuffle(parent)
    else:
        parent[key] = fresh(rng)


# --- the text -----------------------------------------------------------------------------------------------


def written(value: Any, indent: str = "") -> str:
    """YAML in block style down to short collections; `Raw` as it is."""
    if isinstance(value, dict) and value and (not indent or len(str(value)) > 60):
        return "".join(f"\n{indent}{json.dumps(str(key))}: {written(item, indent + '  ')}" for key, item in value.items())
    if isinstance(value, list) and len(str(value)) > 60:
        return "".join(f"\n{indent}- {written(item, indent + '  ')}" for item in value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {written(item, indent)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(item, indent) for item in value) + "]"
    return str(value) if isinstance(value, Raw) else json.dumps(value, ensure_ascii=False)


def garbled(rng: random.Random, text: str) -> str:
    """Text cut off, lines doubled, moved or lost, noise put in."""
    kind = rng.randrange(4)
    lines = text.splitlines()
    if kind == 0:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 1:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    elif kind == 2:
        del lines[rng.randrange(len(lines))]
    else:
        start = rng.randrange(len(text))
        return text[:start] + rng.choice(NOISE) + text[start + rng.randrange(3) :]
    return "\n".join(lines)


def mutant(rng: random.Random) -> str:
    """The text of one wrong (or, by luck, right) specification."""
    data = copy.deepcopy(rng.choice(seeds()))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change(rng, data)
    text = written(data)
    return garbled(rng, text) if rng.random() < 0.15 and text else text
