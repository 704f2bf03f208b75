"""The MICRO 2022 artifact's inputs, read as they are, beside the statistics that came with them.

    python -m tests.golden.artifact_table [--differences]

The statistics are of a private build with features that no public one has; where ours differ, `REASONS` names the
reason for every kind of difference. Files of others: never committed.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparseloop.evaluation.evaluate import evaluate
from sparseloop.evaluation.result import Result
from sparseloop.input.load import load

SHARED = Path(__file__).parents[3] / "shared"
ARTIFACT = SHARED / "golden" / "artifact.jsonl.gz"
CORPUS = SHARED / "golden" / "corpus.jsonl.gz"
MASKS = SHARED / "data" / "masks"
CLOSE = 0.005
"""Relative difference up to which two figures are called equal (that of the corpus's labels)."""
SLACK = 3.0
"""Events per instance by which the reference's roundings may move a count."""

REASONS: tuple[tuple[str, str, str], ...] = (
    (r"^fig15/.*/DSTC", r"^LRF\.[AB]\.reads|^cycles|^energy", "position skipping"),
    (r"", r"\.(Z|Outputs)\.fills$", "first fill"),
    (r"^fig1/.*bitmask", r"^cycles$", "first fill"),
    (r"^fig12/.*actual_data", r"\.Outputs\.reads$", "Q35"),
    (r"^table7/", r"^shared_glb\.Inputs\.reads$", "joint multicast"),
    (r"^table7/dense", r"^energy_pj$", "joint multicast"),
    (r"^table7/ref", r"^cycles$", "Q39"),
    (r"^table7/ref", r"^energy_pj$", "joint multicast, Q7"),
    (r"^fig1/", r"^energy_pj$", "first fill, Q7, Q32"),
    (r"^fig12/", r"^energy_pj$", "first fill, Q7"),
    (r"^fig15/", r"^energy_pj$", "older build"),
)
"""Pattern of cases, pattern of figures, class; Q numbers are those of docs/timeloop_faults.md. The others:

first fill: the build of 2022 writes a new output tile when it arrives, though it holds nothing; v3.0.3 and we do not.
joint multicast: D-joint of the corpus: below a bypassed level the reference does not match deltas across levels.
position skipping: a feature of the private build only, taken as a spatial skip of a tensor on itself.
older build: Timeloop v3.0.3 on the same input gives our figure (the corpus holds some of these runs).
"""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of one case: 'cycles', 'energy_pj', 'computes', or 'Buffer.A.reads'."""

    case: str
    figure: str
    ours: float
    theirs: float
    slack: float

    @property
    def relative(self) -> float:
        """(ours - theirs) / theirs."""
        return (self.ours - self.theirs) / self.theirs if self.theirs else float(self.ours > self.slack)

    @property
    def equal(self) -> bool:
        """True within the reference's roundings."""
        return abs(self.ours - self.theirs) <= max(self.slack, CLOSE * max(abs(self.ours), abs(self.theirs)))

    @property
    def reason(self) -> str:
        """The class of a difference; '' if no rule knows it."""
        found = (name for cases, figures, name in REASONS if re.search(cases, self.case) and re.search(figures, self.figure))
        return next(found, "")


# --- their statistics ---------------------------------------------------------------------------------------

_LEVEL = re.compile(r"^=== (\S+) ===$\n(.*?)(?=^Level|^Networks|\Z)", re.MULTILINE | re.DOTALL)
_TENSOR = re.compile(r"^    (\w+):$\n((?:^ {8}.*\n?|^\s*\n)*)", re.MULTILINE)
_COUNT = re.compile(r"^ +(Actual s|S)calar (reads|fills|updates) \(per-instance\) +: (\d+)$", re.MULTILINE)


def _number(text: str, pattern: str) -> float | None:
    match = re.search(pattern, text)
    return float(match[1]) if match else None


def statistics(text: str) -> Iterator[tuple[str, float, float]]:
    """(figure, value of the whole level, slack) of a `.stats.txt`."""
    for figure, pattern, factor in (("cycles", r"\nCycles: (\d+)", 1.0), ("energy_pj", r"\nEnergy: ([\d.]+) uJ", 1e6)):
        if (value := _number(text, pattern)) is not None:
            yield figure, value * factor, 0.005 * factor if figure == "energy_pj" else 2.0
    if (computes := _number(text, r"(?:Actual )?Computes \(total\) +: (\d+)")) is not None:
        actual = _number(text, r"Actual Computes \(total\) +: (\d+)")
        yield "computes", computes if actual is None else actual, SLACK
    for level in _LEVEL.finditer(text.partition("\nNetworks")[0]):
        for tensor in _TENSOR.finditer(level[2].partition("STATS")[2]):
            most = _number(tensor[2], r"Utilized instances \(max\) +: ([\d.]+)") or 1.0
            mean = _number(tensor[2], r"Utilized instances \(average\) +: ([\d.]+)") or most
            for _, action, count in _COUNT.findall(tensor[2]):
                yield f"{level[1]}.{tensor[1]}.{action}", float(count) * mean, SLACK * most + 0.005 * float(count)


def our_figures(result: Result) -> dict[str, float]:
    """The same figures of our model: counts of actual events."""
    data: dict[str, Any] = result.to_dict()
    found = {key: data["totals"][key] for key in ("cycles", "energy_pj")} | {"computes": data["totals"]["computes"]["actual"]}
    for level in data["levels"]:
        for tensor, counts in level.get("tensors", {}).items():
            found |= {f"{level['name']}.{tensor}.{action}": counts[action]["actual"] for action in ("reads", "fills", "updates")}
    return found


# --- inputs -------------------------------------------------------------------------------------------------


def cases() -> Iterator[dict[str, Any]]:
    """Every case of the artifact; a mapping alone (Figure 1) gets the design and problem it belongs to from the corpus."""
    designs = dict(_figure1())
    with gzip.open(ARTIFACT, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if len(case["inputs"]) == 1:
                _, density, form = re.split(r"output_([\d.]+)_", case["id"])
                case["inputs"] = {**designs[density, form], **case["inputs"]}
            yield case


def _figure1() -> Iterator[tuple[tuple[str, str], dict[str, str]]]:
    """(density, format) to the files besides the mapping; one that was kept back is put together from its neighbours."""
    known = dict[tuple[str, str], dict[str, str]]()
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            if match := re.match(r'.{0,40}"art-fig1-([\d.]+)-(\w+)"', line):
                known[match[1], match[2]] = {k: v for k, v in json.loads(line)["inputs"].items() if k != "mapping.yaml"}
    for density in {density for density, _ in known}:
        for form in ("bitmask", "coordinate_list"):
            files = next(files for (_, other), files in known.items() if other == form)
            problem = next(files["problem.yaml"] for (other, _), files in known.items() if other == density)
            yield (density, form), {**files, "problem.yaml": problem}


def evaluated(case: dict[str, Any]) -> Result:
    """Our result for a case, from files in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("actual_data_masks", "masks"):
            (Path(folder) / name).symlink_to(MASKS)
        for name, text in case["inputs"].items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        result = evaluate(load(*(Path(folder) / name for name in case["inputs"])))
        _ = result.energy_pj
        return result


def compared(case: dict[str, Any]) -> list[Compared]:
    """All figures that both sides state; none where the artifact has no statistics."""
    ours = our_figures(evaluated(case))
    return [
        Compared(case=case["id"], figure=figure, ours=ours[figure], theirs=theirs, slack=slack)
        for figure, theirs, slack in statistics(case["stats_txt"] or "")
        if figure in ours
    ]


# --- the table ----------------------------------------------------------------------------------------------


def family(case: str) -> str:
    """The row of a case: figure and variant."""
    name, _, rest = case.partition("/")
    variant = {"fig1": rest.split("_", 2)[-1], "fig12": rest.split("/")[-1], "table7": rest.split("_")[0]}
    return f"{name} {variant.get(name, rest.split('/')[-1].removesuffix('-RF2x-24-bandwidth').replace('-RF2x-24-bandwidth', ''))}"


def rows(figures: list[Compared]) -> Iterator[str]:
    """A row per family and quantity: cases, equal figures, range of the relative differences, reasons."""
    groups = defaultdict[tuple[str, str], list[Compared]](list)
    for one in figures:
        what = one.figure.rsplit(".", 1)[-1]
        groups[family(one.case), what].append(one)
    for (name, what), group in sorted(groups.items()):
        different = [one for one in group if not one.equal]
        low, high = (pick((one.relative for one in different), default=0.0) for pick in (min, max))
        reasons = ", ".join(sorted({one.reason or "?" for one in different}))
        span = f"{100 * low:+.1f} … {100 * high:+.1f} %" if different else "="
        yield f"| {name} | {what} | {len(group) - len(different)} / {len(group)} | {span} | {reasons} |"


def main(arguments: list[str]) -> None:
    """Prints the table; with --differences every difference without a reason."""
    found = list(cases())
    figures = [one for case in found for one in compared(case)]
    without = sum(not case["stats_txt"] for case in found)
    print(f"{len(found)} inputs read, {without} of them without statistics\n")
    print("| family | figure | equal | differences | why |\n|---|---|---|---|---|")
    print("\n".join(rows(figures)))
    if "--differences" in arguments:
        for one in figures:
            if not one.equal and not one.reason:
                print(f"{one.case} {one.figure}: ours {one.ours:.6g}, theirs {one.theirs:.6g} ({100 * one.relative:+.2f} %)")


if __name__ == "__main__":
    main(sys.argv[1:])
