"""Analytical energy, cycle, area and traffic model of sparse tensor accelerators."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sparseloop.designs.builders import Architecture, Compute, Fanout, Features, Loops, Storage, Workload, build
    from sparseloop.designs.on_machine import network_on
    from sparseloop.evaluation.evaluate import design_of, evaluate
    from sparseloop.evaluation.result import Result
    from sparseloop.explore.codesign.search import CodesignOptions, CodesignResult, codesign
    from sparseloop.explore.store import Store
    from sparseloop.explore.study import RunOptions, Study
    from sparseloop.input.densities.records import DensitySpec
    from sparseloop.input.diagnostics import Diagnostic, SpecError
    from sparseloop.input.hardware_spec import EnergySpec, MetadataSpec, NetworkSpec, UnitSpec
    from sparseloop.input.load import dumps, load, loads, schema
    from sparseloop.input.networks.layers import NetworkLayer, NeuralNetwork
    from sparseloop.input.networks.sources import SourceOptions, read_network
    from sparseloop.input.spec import (
        ConstraintSpec,
        FormatSpec,
        RankFormatSpec,
        SafSpec,
        Spec,
    )
    from sparseloop.mapper.network import LayerResult, NetworkResult, map_machines, map_network
    from sparseloop.mapper.objectives import Objective
    from sparseloop.mapper.options import SearchOptions
    from sparseloop.mapper.search import search
    from sparseloop.mapper.space.mapspace import Mapspace, mapspace
    from sparseloop.mapper.task import Best, Budget, Candidate, Certificate, Goal
    from sparseloop.model.design import Design
    from sparseloop.model.design.mapping import Loop, LoopNest, Mapping, MappingBatch, Sample
    from sparseloop.model.status import Status
    from sparseloop.report.figures import plot, save_figure
    from sparseloop.report.why import why

__all__ = [
    "Architecture",
    "Best",
    "Budget",
    "Candidate",
    "Certificate",
    "CodesignOptions",
    "CodesignResult",
    "Compute",
    "ConstraintSpec",
    "DensitySpec",
    "Design",
    "Diagnostic",
    "EnergySpec",
    "Fanout",
    "Features",
    "FormatSpec",
    "Goal",
    "LayerResult",
    "Loop",
    "LoopNest",
    "Loops",
    "Mapping",
    "MappingBatch",
    "Mapspace",
    "MetadataSpec",
    "NetworkLayer",
    "NetworkResult",
    "NetworkSpec",
    "NeuralNetwork",
    "Objective",
    "RankFormatSpec",
    "Result",
    "RunOptions",
    "SafSpec",
    "Sample",
    "SearchOptions",
    "SourceOptions",
    "Spec",
    "SpecError",
    "Status",
    "Storage",
    "Store",
    "Study",
    "UnitSpec",
    "Workload",
    "__version__",
    "build",
    "codesign",
    "design_of",
    "dumps",
    "evaluate",
    "load",
    "loads",
    "map_machines",
    "map_network",
    "mapspace",
    "network_on",
    "plot",
    "read_network",
    "save_figure",
    "schema",
    "search",
    "why",
]

__version__ = "0.1.0"

_HOME = {
    "Architecture": "designs.builders",
    "Best": "mapper.task",
    "Budget": "mapper.task",
    "Candidate": "mapper.task",
    "Certificate": "mapper.task",
    "CodesignOptions": "explore.codesign.search",
    "CodesignResult": "explore.codesign.search",
    "Compute": "designs.builders",
    "ConstraintSpec": "input.spec",
    "DensitySpec": "input.densities.records",
    "Design": "model.design",
    "Diagnostic": "input.diagnostics",
    "EnergySpec": "input.hardware_spec",
    "Fanout": "designs.builders",
    "Features": "designs.builders",
    "FormatSpec": "input.spec",
    "Goal": "mapper.task",
    "LayerResult": "mapper.network",
    "Loop": "model.design.mapping",
    "LoopNest": "model.design.mapping",
    "Loops": "designs.builders",
    "Mapping": "model.design.mapping",
    "MappingBatch": "model.design.mapping",
    "Mapspace": "mapper.space.mapspace",
    "MetadataSpec": "input.hardware_spec",
    "NetworkLayer": "input.networks.layers",
    "NetworkResult": "mapper.network",
    "NeuralNetwork": "input.networks.layers",
    "NetworkSpec": "input.hardware_spec",
    "Objective": "mapper.objectives",
    "RankFormatSpec": "input.spec",
    "Result": "evaluation.result",
    "RunOptions": "explore.study",
    "SafSpec": "input.spec",
    "Sample": "model.design.mapping",
    "SearchOptions": "mapper.options",
    "SourceOptions": "input.networks.sources",
    "Spec": "input.spec",
    "SpecError": "input.diagnostics",
    "Status": "model.status",
    "Storage": "designs.builders",
    "Store": "explore.store",
    "Study": "explore.study",
    "UnitSpec": "input.hardware_spec",
    "Workload": "designs.builders",
    "build": "designs.builders",
    "codesign": "explore.codesign.search",
    "design_of": "evaluation.evaluate",
    "dumps": "input.load",
    "evaluate": "evaluation.evaluate",
    "load": "input.load",
    "loads": "input.load",
    "map_machines": "mapper.network",
    "map_network": "mapper.network",
    "mapspace": "mapper.space.mapspace",
    "network_on": "designs.on_machine",
    "plot": "report.figures",
    "read_network": "input.networks.sources",
    "save_figure": "report.figures",
    "schema": "input.load",
    "search": "mapper.search",
    "why": "report.why",
}
"""Public name to the module that defines it; imported at first use, so that `import sparseloop` is quick."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparseloop' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
