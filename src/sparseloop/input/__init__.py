"""From a user's files to the design that the model evaluates.

The trip, one module after the other:

1. `yaml.files` reads YAML into plain data whose every value knows its file, line and column (`yaml.nodes.SourceMap`); it merges
   files and applies overrides.
2. `load` recognises Timeloop's files by their keys; `timeloop` turns them into the native form, `accelergy` prices compound
   components.
3. `spec.Spec` checks the data field by field: `notation` expands short notations, `field_types` and `expressions` read numbers
   with units, `pydantic_errors` turns what is wrong into diagnostics.
4. `resolve` turns the `Spec` into a `Design`: names become indices, sizes words, and every level gets its prices.

Each step collects all mistakes as `diagnostics.Diagnostic` and raises one `SpecError`. `write` and `notation_writer` go back from
a `Spec` to YAML. Nothing here computes traffic, energy or time.
"""
