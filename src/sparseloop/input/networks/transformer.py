"""The products of a transformer: projections, attention, feed-forward networks, experts.

Keys and values are read once by all queries that share them: g counts samples times heads of keys and values, p the queries of a
group of heads. What differs between model families is in `Transformer`; `huggingface` fills it in from a `config.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from sparseloop.input.networks.layers import MatrixSize, NetworkLayer, matrix_product

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is computed: `tokens` new positions of every sample, which see `context` positions."""

    batch: int = 1
    tokens: int = 1
    context: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention: keys and values are kept as one vector of `rank` + `rope` words per position."""

    rank: int
    rope: int
    nope: int
    value: int
    query_rank: int = 0
    """0: queries are projected directly."""
    absorbed: bool = False
    """True: the projections of keys and values are applied to queries and results instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A feed-forward network of `count` experts, of which each token uses `used`."""

    count: int
    used: int
    width: int
    shared_width: int = 0
    """Width of what every token passes through as well."""
    router_bias: bool = False
    shared_gate: bool = False
    """The shared part is scaled by a number of its own per token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one layer of a transformer is: layers that are equal have equal records."""

    window: int = 0
    """Positions that a query sees at most; 0: all."""
    experts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Biases:
    """Which projections add a bias."""

    query_key_value: bool = False
    output: bool = False
    feed_forward: bool = False
    head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """Sizes of a transformer, whatever its family calls them."""

    hidden: int
    blocks: tuple[Block, ...]
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    """Of the feed-forward network of layers without experts."""
    vocabulary: int
    gated: bool = True
    """The feed-forward network has three matrices, not two."""
    tied: bool = False
    """The head is the embedding."""
    causal: bool = True
    biases: Biases = Biases()
    latent: Latent | None = None
    experts: Experts | None = None
    other_parameters: int = 0
    """Embeddings, normalizations and what else is no product."""


def transformer_layers(model: Transformer, run: Run) -> tuple[NetworkLayer, ...]:
    """The layers of all blocks: those of equal blocks once, with their number in `times`."""
    kinds = Counter(replace(block, window=block.window if block.window < run.context else 0) for block in model.blocks)
    layers = list[NetworkLayer]()
    for block, times in kinds.items():
        prefix = "" if len(kinds) == 1 else f"{_block_name(block)}."
        for layer in (*_attention(model, block, run), *_feed_forward(model, block, run)):
            layers.append(replace(layer, name=prefix + layer.name, times=times, parameters=layer.parameters * times))
    return tuple(layers)


def _block_name(block: Block) -> str:
    words = (["sliding"] if block.window else []) + (["experts"] if block.experts else [])
    return "_".join(words) or "full"


def head_layer(model: Transformer, rows: int) -> NetworkLayer:
    """The product that gives a number per word of the vocabulary; tied: its weights are counted with the embedding."""
    size = MatrixSize(rows=rows, inner=model.hidden, columns=model.vocabulary)
    layer = matrix_product("lm_head", size, type="head", bias=model.biases.head)
    return replace(layer, parameters=model.vocabulary if model.biases.head else 0) if model.tied else layer


def kv_words(model: Transformer) -> int:
    """Words kept per token and layer: keys and values of every head, or the latent vector."""
    return model.latent.rank + model.latent.rope if model.latent else 2 * model.kv_heads * model.head_dim


# --- attention ----------------------------------------------------------------------------------------------


def _attention(model: Transformer, block: Block, run: Run) -> Iterator[NetworkLayer]:
    context = min(block.window, run.context) if block.window else run.context
    seen = replace(run, context=context)
    if model.latent:
        yield from _latent_attention(model, model.latent, seen)
        return
    rows, hidden, biases = run.batch * run.tokens, model.hidden, model.biases
    queries, keys = model.heads * model.head_dim, model.kv_heads * model.head_dim
    for name, columns in (("query", queries), ("key", keys), ("value", keys)):
        size = MatrixSize(rows=rows, inner=hidden, columns=columns)
        yield matrix_product(name, size, type="projection", bias=biases.query_key_value)
    group = model.heads // model.kv_heads * run.tokens
    yield from _scores(model, MatrixSize(rows=group, inner=model.head_dim, columns=context, batch=run.batch * model.kv_heads),
                       model.head_dim)  # fmt: skip
    yield matrix_product("output", MatrixSize(rows=rows, inner=queries, columns=hidden), type="projection", bias=biases.output)


def _scores(model: Transformer, size: MatrixSize, values: int) -> Iterator[NetworkLayer]:
    """Queries times keys, and the weights that come of it times values."""
    remark = ""
    if model.causal and size.columns > 1 and size.rows > 1:
        remark = "causal: about half of these positions are needed; all are counted"
    weighted = MatrixSize(rows=size.rows, inner=size.columns, columns=values, batch=size.batch)
    for name, one in (("scores", size), ("weighted_values", weighted)):
        yield replace(matrix_product(name, one, type="attention", stored=False), remark=remark)


def _latent_attention(model: Transformer, latent: Latent, run: Run) -> Iterator[NetworkLayer]:
    rows, heads = run.batch * run.tokens, model.heads
    query = heads * (latent.nope + latent.rope)

    def projection(name: str, inner: int, columns: int, rows: int = rows) -> NetworkLayer:
        size = MatrixSize(rows=rows, inner=inner, columns=columns)
        return matrix_product(name, size, type="projection", bias=model.biases.query_key_value and inner == model.hidden)

    if latent.query_rank:
        yield projection("query_down", model.hidden, latent.query_rank)
        yield projection("query_up", latent.query_rank, query)
    else:
        yield projection("query", model.hidden, query)
    yield projection("latent", model.hidden, latent.rank + latent.rope)
    if latent.absorbed:
        into = MatrixSize(rows=rows, inner=latent.nope, columns=latent.rank, batch=heads)
        yield matrix_product("query_to_latent", into, type="projection")
        seen = MatrixSize(rows=heads * run.tokens, inner=latent.rank + latent.rope, columns=run.context, batch=run.batch)
        yield from _scores(model, seen, latent.rank)
        out = MatrixSize(rows=rows, inner=latent.rank, columns=latent.value, batch=heads)
        yield matrix_product("latent_to_value", out, type="projection")
    else:
        every = run.batch * run.context
        yield projection("key_value_up", latent.rank, heads * (latent.nope + latent.value), rows=every)
        seen = MatrixSize(rows=run.tokens, inner=latent.nope + latent.rope, columns=run.context, batch=run.batch * heads)
        yield from _scores(model, seen, latent.value)
    output = MatrixSize(rows=rows, inner=heads * latent.value, columns=model.hidden)
    yield matrix_product("output", output, type="projection", bias=model.biases.output)


# --- feed-forward -------------------------------------------------------------------------------------------


def _feed_forward(model: Transformer, block: Block, run: Run) -> Iterator[NetworkLayer]:
    rows = run.batch * run.tokens
    if not (block.experts and model.experts):
        yield from _matrices(model, rows, model.width, "")
        return
    experts = model.experts
    router = MatrixSize(rows=rows, inner=model.hidden, columns=experts.count)
    yield matrix_product("router", router, type="router", bias=experts.router_bias)
    for layer in _matrices(model, rows, experts.width, "expert_"):
        yield _for_experts(layer, experts)
    if experts.shared_width:
        yield from _matrices(model, rows, experts.shared_width, "shared_")
    if experts.shared_gate:
        yield matrix_product("shared_scale", MatrixSize(rows=rows, inner=model.hidden, columns=1), type="router")


def _matrices(model: Transformer, rows: int, width: int, prefix: str) -> Iterator[NetworkLayer]:
    into = MatrixSize(rows=rows, inner=model.hidden, columns=width)
    for name in ("gate", "up") if model.gated else ("up",):
        yield matrix_product(prefix + name, into, type="feed_forward", bias=model.biases.feed_forward)
    out = MatrixSize(rows=rows, inner=width, columns=model.hidden)
    yield matrix_product(prefix + "down", out, type="feed_forward", bias=model.biases.feed_forward)


def _for_experts(layer: NetworkLayer, experts: Experts) -> NetworkLayer:
    """One matrix of every expert: a single token uses `used` of them; of several tokens each has its own."""
    alone = layer.shape["p"] == 1
    shape = {**layer.shape, "g": experts.used if alone else experts.count}
    return replace(
        layer,
        type="experts",
        shape=shape,
        parameters=layer.parameters * experts.count,
        routed=0 if alone else experts.used,
        shares_inputs=not layer.name.endswith("down"),
        joins_groups=layer.name.endswith("down"),
    )
