"""Every number this checkout computes, as one file of digests: `python bench/same_numbers.py OUT.json [CORPUS.jsonl.gz]`.

Run before and after a change of structure, in the environment of each checkout, then compare the two files:
`python bench/same_numbers.py --compare BEFORE.json AFTER.json`. Only the public API and the command line are used.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sparseloop as sl

ROOT = Path(__file__).parents[1]
DESIGNS = ROOT / "src" / "sparseloop" / "designs"
FENCE = re.compile(r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (\S+)\n)?(.*?)^```", re.MULTILINE | re.DOTALL)
SEARCHES = [
    ("genetic", "edp", 3000),
    ("random", "energy", 3000),
    ("annealing", "cycles", 2000),
    ("optimal", "edp", None),
    ("optimal", "energy", None),
]


def main_of() -> Any:
    """The command line, wherever it lives: the target of the console script."""
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="sparseloop")
    return script.load()


MAIN = main_of()


def printed(arguments: list[str]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = MAIN(arguments)
    return f"{status}\n{out.getvalue()}"


def designs() -> Iterator[tuple[str, str]]:
    """The commands in the README of every design; `eval` as JSON."""
    for page in sorted(DESIGNS.glob("*/README.md")):
        folder = Path("design")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(page.parent, folder)
        os.chdir(folder)
        for command in re.findall(r"^ {4}(sparseloop .*)", page.read_text(encoding="utf-8"), re.MULTILINE):
            words = shlex.split(command, comments=True)[1:]
            if words[0] in ("eval", "why", "show", "energy"):
                words += ["-f", "json"] if words[0] == "eval" and "-f" not in words else []
                yield f"designs/{page.parent.name}: {command}", printed(words)
        os.chdir("..")


def pages() -> Iterator[tuple[str, str]]:
    """Every YAML block of README and docs that is a whole specification, and every Python block of them."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if "_build" in page.parts:
            continue
        for number, (language, _, body) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            if language != "yaml":
                continue
            try:
                spec = sl.loads(body)
            except Exception:  # a part of a file
                continue
            try:
                answer = json.dumps(sl.evaluate(spec).to_dict())
            except sl.SpecError as error:
                answer = str(error)
            yield f"{page.relative_to(ROOT)}: block {number}", answer


def corpus(path: Path) -> Iterator[tuple[str, str]]:
    """All inputs of a golden corpus."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            with tempfile.TemporaryDirectory() as folder:
                files = []
                for name, text in case["inputs"].items():
                    files.append(Path(folder) / Path(name).name)
                    files[-1].write_text(text, encoding="utf-8")
                try:
                    answer = json.dumps(sl.evaluate(sl.load(*files)).to_dict())
                except sl.SpecError as error:
                    answer = re.sub(re.escape(folder), "", str(error))
            yield f"corpus/{case['id']}", answer.replace(folder, "")


def searches() -> Iterator[tuple[str, str]]:
    """README's product: every method, objective and seed fixed."""
    (text, *_) = [body for language, _, body in FENCE.findall(README) if language == "yaml"]
    spec = sl.loads(text.partition("mapping:")[0] + "sparse:" + text.partition("sparse:")[2])
    for method, objective, budget in SEARCHES:
        best = sl.search(spec, minimize=objective, method=method, seed=1, **({"budget": budget} if budget else {}))
        yield f"search/{method}/{objective}", json.dumps([best.result.to_dict(), str(best.lower_bound), best.evaluated])
    Path("matmul.yaml").write_text(text, encoding="utf-8")
    yield "search/front", printed(["map", "matmul.yaml", "--pareto", "energy,cycles", "--budget", "2000", "-f", "json"])


README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDY = """\
spec: matmul.yaml
parameters:
  glb: {path: architecture.levels.GLB.capacity, values: [16, 32, 64], unit: KiB}
  A: {path: workload.density.A, range: [0.1, 0.5], points: 3}
pareto: [edp, area_um2]
mapping: {method: genetic, budget: 300, seed: 3}
"""


def study() -> Iterator[tuple[str, str]]:
    (text, *_) = [body for language, _, body in FENCE.findall(README) if language == "yaml"]
    Path("matmul.yaml").write_text(text, encoding="utf-8")
    Path("study.yaml").write_text(STUDY, encoding="utf-8")
    sl.Study.load("study.yaml").run("out")
    points = sl.Store.opened("out").points().drop_columns(["seconds"]).to_pylist()
    yield "study", json.dumps(points, default=str)


def codesign() -> Iterator[tuple[str, str]]:
    path = ROOT / "tests" / "unit" / "test_codesign.py"
    path = path if path.exists() else ROOT / "tests" / "unit" / "explore" / "codesign" / "test_search.py"
    module_spec = importlib.util.spec_from_file_location("codesign_inputs", path)
    assert module_spec is not None
    inputs = importlib.util.module_from_spec(module_spec)
    assert module_spec.loader is not None
    module_spec.loader.exec_module(inputs)
    file = inputs.study(Path.cwd())
    answer = json.loads(printed(["codesign", str(file), "-f", "json"]).partition("\n")[2])
    yield "codesign", json.dumps({key: value for key, value in answer.items() if "second" not in key})


def collect(corpus_file: Path | None) -> dict[str, str]:
    found: dict[str, str] = {}
    parts = [designs(), pages(), searches(), study(), codesign(), *([corpus(corpus_file)] if corpus_file else [])]
    for part in parts:
        for name, answer in part:
            found[name] = hashlib.sha256(answer.encode()).hexdigest()[:16]
    return found


def compare(before: Path, after: Path) -> int:
    old, new = json.loads(before.read_text()), json.loads(after.read_text())
    differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    groups: dict[str, list[int]] = {}
    for name in old.keys() | new.keys():
        tally = groups.setdefault(re.split(r"[/:]", name)[0], [0, 0])
        tally[0] += 1
        tally[1] += name not in differing
    for group, (count, equal) in sorted(groups.items()):
        print(f"{group:<10} {equal:>5} of {count:>5} equal")
    print(*differing[:40], sep="\n")
    return 1 if differing else 0


if __name__ == "__main__":
    if sys.argv[1] == "--compare":
        sys.exit(compare(Path(sys.argv[2]), Path(sys.argv[3])))
    target, source = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    os.environ["COLUMNS"] = "100"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        target.write_text(json.dumps(collect(source), indent=0), encoding="utf-8")
