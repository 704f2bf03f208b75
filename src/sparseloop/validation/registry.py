"""The targets of `sparseloop validate`, in the order in which they are listed."""

from __future__ import annotations

from sparseloop.validation.records import Target
from sparseloop.validation.targets import (
    a100,
    dstc,
    eie,
    eyeriss_v1,
    eyeriss_v2_pe,
    gamma,
    imbalance,
    micro22_fig1,
    micro22_fig15,
    scnn,
    sigma,
    spmspm,
)
from sparseloop.validation.timeloop import target as timeloop

TARGETS: dict[str, Target] = {
    "eyeriss_v2_pe": eyeriss_v2_pe.TARGET,
    "eyeriss_v1": eyeriss_v1.TARGET,
    "eie": eie.TARGET,
    "scnn": scnn.TARGET,
    "sigma": sigma.TARGET,
    "gamma": gamma.TARGET,
    "dstc": dstc.TARGET,
    "fig1": micro22_fig1.TARGET,
    "fig15": micro22_fig15.TARGET,
    "a100": a100.TARGET,
    "spmspm": spmspm.TARGET,
    "imbalance": imbalance.TARGET,
    "timeloop": timeloop.TARGET,
}
"""Name on the command line to target."""
