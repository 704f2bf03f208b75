"""What Timeloop prints about a mapping, read back: `.stats.txt` and `.map+stats.xml`.

Figures are plain data: `overall` (cycles, energy_pJ), `levels` (the arithmetic level first, then inner to outer; each with
`name`, `type`, `stats` and, for storage, `dataspaces`), `networks` (words that enter them), of a text `whole` (it ends with its
summary). Names of figures are those of the text in lower case: 'Scalar reads (per-instance)' is `scalar_reads_per_instance`;
metadata is {'rank0': [entries, payloads]}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sparseloop.input.diagnostics import Diagnostic, Span, SpecError

StatsFigures = dict[str, Any]

OURS = "two designs of ours stand side by side in: sparseloop plot A B, report A B; their numbers: eval -f csv"
HINT = "give the .stats.txt or .map+stats.xml that Timeloop wrote (timeloop-model.* or timeloop-mapper.*)"
MICROJOULE = 1e6
"""pJ."""

_LEVEL = re.compile(r"=== (?P<name>.+?) ===\s*$")
_OWNER = re.compile(r" {4}(?P<name>[^\s:]+):\s*$")
_NUMBER = re.compile(r"\s*(?P<label>[^:]*[^:\s])\s*: +(?P<value>-?\d+(\.\d*)?(e[-+]?\d+)?)(?![\w.])(?P<rest>.*)$")
_OPEN = re.compile(r" {8}(?P<label>\S.*\(per-instance\))\s*:?\s*$")
_RANK = re.compile(r"\s*Rank (?P<rank>\d+) \(metadata, payload\): \((?P<entries>\d+), *(?P<payloads>\d+)\)")
_MACCS = re.compile(r"MACCs *= *(?P<value>\d+)\s*$")
"""Up to version 3.0.0 the summary alone states the computes."""
_SHARE = re.compile(r"\s*@multicast .*: *(?P<value>[\d.]+)\s*$")


def read_stats(path: Path, tensors: Sequence[str]) -> StatsFigures:
    """The figures of a file; `tensors` are the names of the problem's data spaces in its order, which XML leaves out."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise wrong_stats(path, "is not text") from None
    except OSError as error:
        raise wrong_stats(path, f"cannot be read ({error.strerror})") from None
    return of_xml(text, path, tensors) if text.lstrip().startswith("<?xml") else of_text(text, path)


def wrong_stats(path: Path, message: str, span: Span | None = None) -> SpecError:
    """The mistake that a file is not what was expected."""
    return SpecError([Diagnostic(message=f"{path.name} {message}", hint=HINT, span=span or Span(str(path), None, None))])


# --- text ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """The lines of a stats file, and where in its sections we are."""

    overall: StatsFigures = field(default_factory=dict[str, Any])
    levels: list[StatsFigures] = field(default_factory=list[StatsFigures])
    networks: list[StatsFigures] = field(default_factory=list[StatsFigures])
    section: str = "levels"
    owner: StatsFigures | None = None
    """Where figures go: a level's own, or those of a tensor; None: a part that is not read."""
    ranks: dict[str, list[float]] | None = None
    """Metadata by rank, while its lines follow."""
    shares: bool = False
    """True while the words of a network follow by multicast, without a total."""

    def line(self, text: str) -> None:
        """Takes one line in."""
        if text in ("Networks", "Operational Intensity Stats", "Summary Stats"):
            self.section, self.owner = text, self.overall if text == "Summary Stats" else None
        elif self.section == "levels":
            self._level(text)
        elif self.section == "Networks":
            self._network(text)
        elif self.owner is not None:
            self._figure(text)

    def _level(self, text: str) -> None:
        if found := _LEVEL.match(text):
            self.levels.append(
                {"name": found["name"], "type": "storage", "specs": {}, "stats": {}, "extra": {}, "dataspaces": {}}
            )
            self.owner = None
        elif text.strip() == "SPECS" and self.levels:
            self.owner = self.levels[-1]["specs"]
        elif text.strip() == "MAPPING":
            self.owner = None
        elif text.strip() == "STATS" and self.levels:
            self.owner = self.levels[-1]["stats"]
        elif self.owner is not None and self.owner is not self.levels[-1]["specs"] and (found := _OWNER.match(text)):
            self.owner = self.levels[-1]["dataspaces"].setdefault(found["name"], {})
        elif self.owner is not None:
            self._figure(text)

    def _network(self, text: str) -> None:
        if text and text[0] not in " -" and not re.fullmatch(r"Network \d+", text):
            self.networks.append({"name": text.strip(), "dataspaces": {}})
            self.owner = None
        elif text.strip() == "SPECS":
            self.owner = None
        elif self.networks and (found := _OWNER.match(text)):
            self.owner = self.networks[-1]["dataspaces"].setdefault(found["name"], {})
        elif self.owner is not None:
            self._figure(text)

    def _figure(self, text: str) -> None:
        assert self.owner is not None
        if found := _RANK.match(text):
            if self.ranks is not None:
                self.ranks[f"rank{found['rank']}"] = [float(found["entries"]), float(found["payloads"])]
            return
        if (found := _SHARE.match(text)) and self.section == "Networks":
            if self.shares:
                self.owner["ingresses"] = self.owner.get("ingresses", 0.0) + float(found["value"])
            return
        if self.section == "Summary Stats" and (found := _MACCS.match(text)):
            self.owner["maccs"] = float(found["value"])
            return
        self.ranks, self.shares = None, text.strip().rstrip(": ") == "Ingresses"
        if found := _OPEN.match(text):
            self.ranks = {}
            self.owner[figure_name(found["label"])] = self.ranks
        elif found := _NUMBER.match(text):
            self.owner[figure_name(found["label"])] = float(found["value"])
            if figure_name(found["label"]) == "energy" and "uJ" in found["rest"]:
                self.owner["energy_pJ"] = float(found["value"]) * MICROJOULE


def figure_name(label: str) -> str:
    """A label of the text as the name of a figure."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def of_text(text: str, path: Path) -> StatsFigures:
    """The figures of a `.stats.txt` (v0.1 to v0.4 of the format)."""
    reader = _Reader()
    for line in text.splitlines():
        reader.line(line.rstrip())
    whole = reader.section == "Summary Stats"
    return _complete({"overall": reader.overall, "levels": reader.levels, "networks": reader.networks, "whole": whole}, path)


def _complete(figures: StatsFigures, path: Path) -> StatsFigures:
    """The same, once it is sure that they are Timeloop's: an arithmetic level and cycles."""
    levels: list[StatsFigures] = figures["levels"]
    if not levels:
        ours = path.suffix in (".yaml", ".yml", ".json")
        told = "is no stats file of Timeloop: it names no level ('=== GLB ===')"
        raise wrong_stats(path, told + (f"; {OURS}" if ours else ""))
    computes = [level for level in levels if not {"computes_total", "algorithmic_computes_total"}.isdisjoint(level["stats"])]
    if not computes and "maccs" in figures["overall"]:
        computes = [level for level in levels if "energy_per_op" in level.get("specs", {})]
        for level in computes:
            level["stats"]["computes_total"] = figures["overall"]["maccs"]
    if len(computes) != 1:
        names = ", ".join(level["name"] for level in computes) or "none"
        raise wrong_stats(
            path, f"is not complete: one level must state 'Computes (total)' (older: 'Energy-per-op'), here: {names}"
        )
    computes[0]["type"] = "arithmetic"
    del computes[0]["dataspaces"]
    levels.sort(key=lambda level: level["type"] != "arithmetic")
    cycles = [level["stats"]["cycles"] for level in levels if "cycles" in level["stats"]]
    if not cycles:
        raise wrong_stats(path, "is not complete: no level states its cycles")
    figures["overall"].setdefault("cycles", max(cycles))
    return figures


# --- XML ----------------------------------------------------------------------------------------------------

_ARITHMETIC = {
    "cycles_": "cycles",
    "energy_": "energy_total",
    "algorithmic_computes_": "algorithmic_computes_total",
    "random_computes_": "actual_computes_total",
    "gated_computes_": "gated_computes_total",
    "skipped_computes_": "skipped_computes_total",
    "computes_": "computes_total",
    "maccs_": "computes_total",
}


def of_xml(text: str, path: Path, tensors: Sequence[str]) -> StatsFigures:
    """The figures of a `.map+stats.xml`; it states no words of networks."""
    if "<!ENTITY" in text:
        raise wrong_stats(path, "defines entities, which the output of Timeloop does not")
    try:
        root = ElementTree.fromstring(text)
        boxes = root.findall("./engine/topology_/levels_/item/px")
        levels = [level for box in boxes if (level := _box(box, path, tensors)) is not None]
    except ElementTree.ParseError as error:
        line, column = error.position
        lines = text.splitlines()
        span = Span(str(path), line, column + 1, text=lines[line - 1] if line <= len(lines) else "")
        raise wrong_stats(path, f"is no complete XML ({error.msg.partition(':')[0]})", span) from None
    except ValueError as error:
        raise wrong_stats(path, f"has a word where a number belongs ({str(error).rpartition(': ')[2]})") from None
    return _complete({"overall": {}, "levels": levels, "networks": []}, path)


def _box(box: ElementTree.Element, path: Path, tensors: Sequence[str]) -> StatsFigures | None:
    name = box.findtext("./specs_/LevelSpecs/level_name") or box.findtext("./specs_/name/t_")
    if not name:
        return None
    stats = box.find("stats_")
    if stats is None:
        own = {ours: float(text) for theirs, ours in _ARITHMETIC.items() if (text := box.findtext(theirs))}
        return {"name": name, "type": "arithmetic", "stats": own, "extra": {}, "dataspaces": {}}
    cycles = stats.findtext("cycles")
    spaces: dict[str, StatsFigures] = {tensor: {} for tensor in tensors}
    sparse = stats.find("random_reads") is not None
    for figure in stats:
        items = figure.findall("./PerDataSpace/item")
        if items and len(items) != len(tensors):
            message = f"states {len(items)} data spaces, the problem has {len(tensors)}: {', '.join(tensors)}"
            raise wrong_stats(path, message)
        for tensor, item in zip(tensors, items, strict=False):
            spaces[tensor] |= _figures(figure.tag, item, sparse)
    kept = {tensor: found for tensor, found in spaces.items() if found.pop("keep", 1.0)}
    own = {"cycles": float(cycles)} if cycles else {}
    return {"name": name, "type": "storage", "stats": own, "extra": {}, "dataspaces": kept}


_WORDS = re.compile(r"(?P<cls>random|gated|skipped)?_?(?P<metadata>format_)?(?P<action>reads|fills|updates)")
_HELD = {True: "max_utilized_data_storage_capacity", False: "utilized_capacity"}


def _figures(tag: str, item: ElementTree.Element, sparse: bool) -> Iterator[tuple[str, Any]]:
    """One figure of one tensor under the name that the text gives it."""
    if found := _WORDS.fullmatch(tag):
        cls = {"random": "actual_", None: "algorithmic_" if sparse else ""}.get(found["cls"], f"{found['cls']}_")
        key = f"{cls}scalar_{found['metadata'] or ''}{found['action']}_per_instance"
        yield key, dict(_ranks(item.findall("item"))) if found["metadata"] else float(item.text or 0)
    elif tag == "utilized_capacity":
        yield _HELD[sparse], float(item.text or 0)
    elif tag == "energy":
        yield "energy_per_instance", float(item.text or 0)
    elif tag in ("keep", "utilized_instances"):
        yield tag, float(item.text or 0)


def _ranks(items: Iterable[ElementTree.Element]) -> Iterator[tuple[str, list[float]]]:
    for rank, item in enumerate(items):
        yield f"rank{rank}", [float(part.text or 0) for part in item.findall("item")]
