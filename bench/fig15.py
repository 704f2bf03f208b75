"""`python bench/fig15.py artifact.jsonl.gz OUT [study|free]`: the study of MICRO'22 figure 15 as cases for `bench/mapper.py`.

Four ResNet-50 layers, four densities of the weights, six tensor cores, with the study's own mappings as those to compare with.
`study`: the dataflow of each design, the sizes of its tiles free; `free`: only who keeps what, as in the study.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from ruamel.yaml import YAML

BYPASS = """\
architecture_constraints:
  targets:
  - {{target: SMEM, type: bypass, keep: [B], bypass: [Z]}}
  - {{target: RF, type: bypass, keep: [Z], bypass: [A, B]}}
  - {{target: LRF, type: bypass, keep: [{kept}], bypass: [{passed}]}}
"""
STC = """\
  - {target: DRAM, type: temporal, permutation: K, factors: K=1}
  - {target: SMEM, type: temporal, permutation: K, factors: K=1}
  - {target: SMEM, type: spatial, factors: K=1 N=1 M<=4, permutation: NKM, split: 0}
  - {target: RF, type: temporal, factors: M=1 N=1, permutation: NKM}
  - {target: RF, type: spatial, factors: K<=64 M=16 N=1, permutation: KMN, split: 1}
  - {target: LRF, type: temporal, factors: K=1 M=1, permutation: NKM}
"""
DSTC = """\
  - {target: DRAM, type: temporal, factors: K=1}
  - {target: SMEM, type: temporal, factors: K=1}
  - {target: SMEM, type: spatial, factors: K=1, permutation: NMK, split: 0}
  - {target: RF, type: temporal, factors: M=1 N=1, permutation: KMN}
  - {target: RF, type: spatial, factors: M=1 N=1 K=1}
  - {target: LRF, type: temporal, factors: K=1}
  - {target: LRF, type: spatial, factors: M=16 N=16 K=1, permutation: NMK, split: 1}
"""


def constraints(design: str, kind: str) -> str:
    """DSTC computes outer products and holds both operands, the others hold A alone."""
    outer = design.startswith("DSTC")
    text = BYPASS.format(kept="A, B" if outer else "A", passed="Z" if outer else "B, Z")
    return text if kind == "free" else text + (DSTC if outer else STC)


def main(corpus: Path, out: Path, kind: str) -> None:
    """Writes a folder a case."""
    with gzip.open(corpus, "rt") as lines:
        cases = [json.loads(line) for line in lines if '"fig15/' in line]
    known: list[dict[str, object]] = []
    for case in cases:
        _, _, layer, design = case["id"].split("/")
        folder = out / f"{layer}-{design}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in case["inputs"].items():
            if name != "map.yaml":
                (folder / name).write_text(text)
        (folder / "constraints.yaml").write_text(constraints(design, kind))
        mapping = YAML(typ="safe").load(case["inputs"]["map.yaml"])["mapping"]
        known += [{"case": folder.name, "minimize": goal, "mapping": mapping} for goal in ("energy", "edp")]
    (out / "best.json").write_text(json.dumps(known))
    print(f"{len(cases)} cases under {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "study")
