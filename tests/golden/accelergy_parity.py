"""Designs with compound components beside the tables that Accelergy made of them. Files of others: never committed.

    python -m tests.golden.accelergy_parity [--differences]

A summary holds totals and no prices of primitives, so these are solved for. That alone would agree with almost any
reading: what checks ours are rows of one design computed from the tables of the others, and from published primitives.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sparseloop.input import accelergy
from sparseloop.input.accelergy import FirstOf, Primitives, ReferenceTables, read_user_table
from sparseloop.input.accelergy.compound import Expanded
from sparseloop.input.accelergy.ert import expanded, priced
from sparseloop.input.accelergy.inverse import Solved, equations, solved
from sparseloop.input.yaml import files as yamlio

HERE = Path(__file__).parent
SHARED = Path(__file__).parents[3] / "shared"
V03, V04 = SHARED / "data" / "accelergy", SHARED / "golden" / "v04" / "processed"
STALE = ("fig15-TC-RF2x-24-bandwidth",)
"""Its tables are of 65 nm, as its flattened architecture, while the architecture says 45 nm."""
CLOSE_PJ, CLOSE_UM2 = 1.01e-5, 2e-3
"""Tables are rounded to 1e-5 pJ or finer; a row that is the sum or difference of rounded ones is off by 1e-5."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A design taken apart, its published tables, and its summaries."""

    name: str
    folder: Path
    components: tuple[Expanded, ...]
    published: ReferenceTables

    @property
    def summaries(self) -> list[Path]:
        """ERT_summary and ART_summary, if they are there."""
        return sorted(self.folder.glob("*_summary.yaml"))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Published rows, those that can be computed, and those of them that are equal; then the same of areas."""

    rows: int
    computed: int
    equal: int
    areas: int
    computed_areas: int
    equal_areas: int
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.equal}/{self.computed} of {self.rows} rows, {self.equal_areas}/{self.computed_areas} of {self.areas} areas"


def _files(folder: Path) -> list[Path]:
    wanted = [folder / "flattened_architecture.yaml"] if folder.name in STALE else []
    architectures = wanted or [p for p in folder.glob("*.yaml") if "architecture:" in p.read_text().split("\n", 1)[0]]
    chosen = [p for p in architectures if not p.name.startswith("flattened") or p in wanted]
    return [*chosen, *folder.glob("*components.yaml")]


@cache
def designs_v03() -> tuple[Design, ...]:
    """All designs with tables of v0.3."""
    return tuple(_design(folder, _files(folder), ("ERT.yaml", "ART.yaml")) for folder in sorted(V03.iterdir()))


@cache
def designs_v04() -> tuple[Design, ...]:
    """The exercises of v0.4 with different tables."""
    found = (_design(folder, [folder / "input.yaml"], ("ert.yaml", "art.yaml")) for folder in sorted(V04.iterdir()))
    return tuple(distinct(found))


def _design(folder: Path, files: Sequence[Path], tables: Sequence[str]) -> Design:
    components, _ = expanded(*yamlio.load_files(files))
    published = accelergy.read_ert([folder / name for name in tables])
    return Design(name=folder.name, folder=folder, components=tuple(components), published=published)


def distinct(designs: Iterable[Design]) -> list[Design]:
    """Designs of which no earlier one has the same tables."""
    known = dict[object, Design]()
    for design in designs:
        rows = tuple((row.key, row.energy_pj) for row in design.published.rows)
        known.setdefault((rows, tuple((a.component, a.area_um2) for a in design.published.areas)), design)
    return list(known.values())


def compared(design: Design, primitives: Primitives) -> Comparison:
    """Our tables beside the published ones."""
    made = priced(design.components, primitives)
    rows = {row.key: row.energy_pj for row in made.rows}
    areas = {area.component: area.area_um2 for area in made.areas}
    published = design.published
    energies = [(row, rows[row.key]) for row in published.rows if row.key in rows]
    sizes = [(area, areas[area.component]) for area in published.areas if area.component in areas]
    off = [
        f"{r.component}.{r.action}: {r.energy_pj:g} pJ, ours {v:g}" for r, v in energies if not _close(v, r.energy_pj, CLOSE_PJ)
    ]
    more = [f"{a.component}: {a.area_um2:g} um2, ours {v:g}" for a, v in sizes if not _close(v, a.area_um2, CLOSE_UM2)]
    return Comparison(
        rows=len(published.rows),
        computed=len(energies),
        equal=len(energies) - len(off),
        areas=len(published.areas),
        computed_areas=len(sizes),
        equal_areas=len(sizes) - len(more),
        differences=(*off, *more),
    )


def _close(ours: float, published: float, slack: float) -> bool:
    return abs(ours - published) <= max(slack, 3e-6 * abs(published))


def own_summary(design: Design) -> Comparison:
    """With the primitives that the design's own summaries (or, without any, tables) imply."""
    if design.summaries:
        return compared(design, accelergy.primitives_of_summary(design.summaries, design.components))
    return compared(design, solved(equations(design.components, design.published)))


def by_others(design: Design, designs: Sequence[Design], known: Primitives) -> Comparison:
    """With published primitives, and those that the tables of all other designs determine."""
    others = [one for one in designs if one.name != design.name]
    given = [equation for one in others for equation in equations(one.components, one.published, known)]
    found = solved(given)
    sure = Solved(values={key: value for key, value in found.values.items() if key not in found.split})
    return compared(design, FirstOf((known, sure)))


@cache
def published_primitives(version: str) -> Primitives:
    """The price tables of this folder."""
    return read_user_table(HERE / f"primitives_v{version.replace('.', '')}.csv")


def by_default(design: Design) -> tuple[Comparison, str]:
    """With the built-in estimates: the differences, and how far they are."""
    ours = {row.key: row.energy_pj for row in priced(design.components, accelergy.built_in()).rows}
    ratios = [ours[row.key] / row.energy_pj for row in design.published.rows if ours.get(row.key) and row.energy_pj]
    text = f"median {statistics.median(ratios):.2f}, {min(ratios):.2g} to {max(ratios):.2g}" if ratios else "nothing to compare"
    return compared(design, accelergy.built_in()), text


def main(arguments: Sequence[str]) -> None:
    """Prints all comparisons; with --differences every row that differs under the built-in estimates."""
    for version, designs in (("0.3", designs_v03()), ("0.4", designs_v04())):
        print(f"\ntables of v{version}: own totals | other designs | built-in estimates (ours / published energy)")
        total = [0] * 6
        for design in designs:
            own = own_summary(design)
            others = by_others(design, distinct(designs), published_primitives(version))
            default, ratio = by_default(design)
            again = design not in distinct(designs)
            print(f"{design.name}: {own} | {'as above' if again else others} | {default.computed} rows: {ratio}")
            for line in (*others.differences, *(default.differences if "--differences" in arguments else ())):
                print(f"    {line}")
            one = others
            numbers = (one.equal, one.computed, one.rows, one.equal_areas, one.computed_areas, one.areas)
            total = [a + b for a, b in zip(total, numbers if not again else [0] * 6, strict=True)]
        print("all different ones, from other designs: {}/{} of {} rows, {}/{} of {} areas".format(*total))


if __name__ == "__main__":
    main(sys.argv[1:])
