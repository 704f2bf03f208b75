"""Reads `config.json` of Hugging Face: sizes under the names of each family, and what a family adds to them.

Biases and normalizations are not in the file; they follow from `model_type` (`FAMILIES`). The numbers of parameters that come
of it equal the published ones, see the tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from sparseloop.input.diagnostics import Diagnostic, Span, SpecError, did_you_mean
from sparseloop.input.networks.layers import MatrixSize, NeuralNetwork, matrix_product, sizes_hint
from sparseloop.input.networks.transformer import (
    Biases,
    Block,
    Experts,
    Latent,
    Phase,
    Run,
    Transformer,
    head_layer,
    kv_words,
    transformer_layers,
)

Mla = Literal["absorbed", "expanded"]

NO_BIASES = Biases()

_NAMES = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads",),
    "width": ("intermediate_size", "n_inner", "ffn_dim"),
    "positions": ("max_position_embeddings", "n_positions"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "used": ("num_experts_per_tok", "experts_per_token"),
    "expert_width": ("moe_intermediate_size",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What a `model_type` is beside its sizes."""

    gated: bool = True
    causal: bool = True
    tied: bool = False
    """Where the file does not say."""
    biases: Biases = NO_BIASES
    norms: int = 2
    """Normalizations of a layer over the hidden size."""
    norm_words: int = 1
    """Words of a normalization per channel: scale, or scale and shift."""
    final_norm: bool = True
    head_norms: int = 0
    """Normalizations of a layer over the head size: of queries and of keys."""
    wide_head_norms: bool = False
    """These are over all heads."""
    positions: int = -1
    """Learned positions beyond the largest one; -1: none are learned."""


_EVERYWHERE = Biases(query_key_value=True, output=True, feed_forward=True)
FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "mistral": Family(),
    "mixtral": Family(),
    "phi3": Family(),
    "qwen2": Family(biases=Biases(query_key_value=True)),
    "qwen2_moe": Family(biases=Biases(query_key_value=True)),
    "qwen3": Family(head_norms=2),
    "qwen3_moe": Family(head_norms=2),
    "olmo2": Family(head_norms=2, wide_head_norms=True),
    "gemma": Family(tied=True),
    "gemma2": Family(tied=True, norms=4),
    "gemma3_text": Family(tied=True, norms=4, head_norms=2),
    "deepseek_v2": Family(),
    "deepseek_v3": Family(),
    "gpt_oss": Family(biases=_EVERYWHERE),
    "phi": Family(gated=False, biases=replace(_EVERYWHERE, head=True), norms=1, norm_words=2),
    "gpt_neox": Family(gated=False, biases=_EVERYWHERE, norm_words=2),
    "gpt2": Family(gated=False, tied=True, biases=_EVERYWHERE, norm_words=2, positions=0),
    "opt": Family(gated=False, tied=True, biases=_EVERYWHERE, norm_words=2, positions=2),
    "bert": Family(gated=False, tied=True, causal=False, biases=_EVERYWHERE, norm_words=2, final_norm=False, positions=0),
}
"""By `model_type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRun:
    """What of a model is run."""

    seq: int | None = None
    """Positions: of the prompt (prefill), or of what is kept (decode)."""
    batch: int = 1
    phase: Phase = "prefill"
    mla: Mla | None = None
    """None: expanded in prefill, absorbed in decode."""


def is_config(file: str | Path) -> bool:
    """True if a file is called `config.json` or is a JSON object that names its `model_type`, and is no specification."""
    path = Path(file)
    if path.suffix != ".json" or not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return '"model_type"' in text or (path.name == "config.json" and '"architecture"' not in text and '"workload"' not in text)


def read_config(file: str | Path, options: ModelRun) -> NeuralNetwork:
    """The network that a `config.json` describes; raises `SpecError`."""
    text = Path(file).read_text(encoding="utf-8", errors="replace")
    try:
        data: Any = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text else ""
        raise SpecError([Diagnostic(message=error.msg, span=Span(str(file), error.lineno, error.colno, 1, line))]) from None
    if not isinstance(data, dict):
        raise SpecError([Diagnostic(message="a JSON object was expected", span=Span(str(file), None, None))])
    return network_of_config(cast("dict[str, Any]", data), options, ConfigFile(str(file), text))


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Where a configuration stands, for messages."""

    name: str = "<config>"
    text: str = ""

    def mistake(self, key: str, message: str, hint: str | None = None) -> SpecError:
        """A mistake at the line of a key."""
        match = re.search(rf'"{re.escape(key)}"\s*:\s*', self.text)
        if match is None:
            return SpecError([Diagnostic(message=message, hint=hint, span=Span(self.name, None, None))])
        line = self.text.count("\n", 0, match.end())
        col = match.end() - (self.text.rfind("\n", 0, match.end()) + 1)
        whole = self.text.splitlines()[line]
        length = max(1, len(whole[col:].rstrip(" ,")))
        return SpecError([Diagnostic(message=message, hint=hint, span=Span(self.name, line + 1, col + 1, length, whole))])


class _Fields:
    """The fields of a configuration under any of their names; null means that a field is absent."""

    def __init__(self, data: Mapping[str, Any], file: ConfigFile) -> None:
        self.data, self.file = data, file

    def number(self, what: str, default: int | None = None) -> int:
        """A whole number above 0; `what` is a key of `_NAMES`, or the field itself."""
        names = _NAMES.get(what, (what,))
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0 or (value == 0 and default is None):
                raise self.file.mistake(name, f"{name}: expected a whole number above 0, got {value!r}")
            return value
        if default is None:
            raise self.file.mistake(names[0], f"the configuration lacks '{names[0]}'", "write it into the file")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """A field that is true or false."""
        value = self.data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.file.mistake(name, f"{name}: expected true or false, got {value!r}")
        return default if value is None else value


def network_of_config(data: Mapping[str, Any], options: ModelRun, file: ConfigFile | None = None) -> NeuralNetwork:
    """The network of a configuration that was read already."""
    where = file or ConfigFile()
    if isinstance(data.get("text_config"), dict):  # a model of text and pictures: its language part
        data = {**data["text_config"]}
    kind = str(data.get("model_type"))
    fields = _Fields(data, where)
    if kind == "vit":
        return _vision(fields, options)
    if kind not in FAMILIES:
        hint = did_you_mean(kind, FAMILIES) or f"known: {', '.join(sorted((*FAMILIES, 'vit')))}"
        told = f"models of type '{kind}' are not known" if kind else "the configuration names no 'model_type'"
        raise where.mistake("model_type", told, hint)
    if options.seq is None:
        told = "how many positions are computed? The axis 'seq' is free"
        raise where.mistake("model_type", told, sizes_hint(["seq", "batch"]))
    family = FAMILIES[kind]
    model = _transformer(fields, family, options)
    return _run(model, fields, kind, options)


def _run(model: Transformer, fields: _Fields, kind: str, options: ModelRun) -> NeuralNetwork:
    seq, batch = options.seq or 1, options.batch
    decode = options.phase == "decode" and model.causal
    run = Run(batch=batch, tokens=1 if decode else seq, context=seq)
    layers = list(transformer_layers(model, run))
    if kind == "bert":
        layers.append(matrix_product("pooler", MatrixSize(rows=batch, inner=model.hidden, columns=model.hidden),
                                     type="projection", bias=True))  # fmt: skip
        notes = ["an encoder: all positions at once"]
    else:
        layers.append(head_layer(model, batch))
        words = kv_words(model)
        kept = sum(min(block.window or seq, seq) for block in model.blocks) * words * batch
        notes = [
            f"{options.phase}; KV cache: {words} words per token and layer, {kept} in all; the head for one position a sample"
        ]
        if not decode and seq > 1:
            notes.append(f"causal: {seq * (seq + 1) // 2} of {seq * seq} pairs of positions are needed, all are counted")
    if model.latent:
        notes.append("MLA " + ("absorbed" if model.latent.absorbed else "expanded"))
    return NeuralNetwork(
        name=kind, layers=tuple(layers), other_parameters=model.other_parameters, source=fields.file.name, notes=tuple(notes)
    )


# --- sizes --------------------------------------------------------------------------------------------------


def _transformer(fields: _Fields, family: Family, options: ModelRun) -> Transformer:
    hidden, heads = fields.number("hidden"), fields.number("heads")
    latent = _latent(fields, options) if fields.number("kv_lora_rank", 0) else None
    head_dim = fields.number("head_dim", 0) or hidden // heads
    experts = _experts(fields)
    kv_heads = fields.number("kv_heads", heads)
    if heads % kv_heads:
        message = f"{heads} heads cannot share {kv_heads} heads of keys and values evenly"
        raise fields.file.mistake("num_key_value_heads", message)
    biases = replace(
        family.biases,
        query_key_value=fields.flag("attention_bias", family.biases.query_key_value),
        output=fields.flag("attention_bias", family.biases.output),
        feed_forward=fields.flag("mlp_bias", family.biases.feed_forward),
    )
    model = Transformer(
        hidden=hidden,
        blocks=_blocks(fields, experts is not None),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        width=_width(fields, hidden),
        vocabulary=fields.number("vocab_size"),
        gated=family.gated,
        tied=fields.flag("tie_word_embeddings", family.tied),
        causal=family.causal,
        biases=biases,
        latent=latent,
        experts=experts,
    )
    return replace(model, other_parameters=_other_parameters(model, fields, family))


def _width(fields: _Fields, hidden: int) -> int:
    """Of the feed-forward network; GPT-2 leaves it out, and means four times the hidden size."""
    four_times = 4 * hidden if fields.data.get("model_type") == "gpt2" else None
    return fields.number("width", four_times)


def _latent(fields: _Fields, options: ModelRun) -> Latent:
    return Latent(
        rank=fields.number("kv_lora_rank"),
        rope=fields.number("qk_rope_head_dim"),
        nope=fields.number("qk_nope_head_dim"),
        value=fields.number("v_head_dim"),
        query_rank=fields.number("q_lora_rank", 0),
        absorbed=(options.mla or ("absorbed" if options.phase == "decode" else "expanded")) == "absorbed",
    )


def _experts(fields: _Fields) -> Experts | None:
    count = fields.number("experts", 0)
    if not count:
        return None
    width = fields.number("expert_width", 0) or fields.number("width")
    shared = fields.number("shared_expert_intermediate_size", 0)
    return Experts(
        count=count,
        used=fields.number("used"),
        width=width,
        shared_width=shared or fields.number("n_shared_experts", 0) * width,
        router_bias=fields.data.get("model_type") == "gpt_oss",
        shared_gate=shared > 0,
    )


def _blocks(fields: _Fields, experts: bool) -> tuple[Block, ...]:
    """Layer by layer: does it see a window only, and is it made of experts?"""
    count = fields.number("layers")
    window = fields.number("sliding_window", 0) if fields.flag("use_sliding_window", True) else 0
    types: Any = fields.data.get("layer_types")
    kind = fields.data.get("model_type")
    if types is not None and (not isinstance(types, list) or len(cast("list[Any]", types)) != count):
        raise fields.file.mistake("layer_types", f"layer_types: expected a list of {count} names")
    sees: Callable[[int], bool]
    if types is not None:
        sees = lambda i: "sliding" in str(cast("list[Any]", types)[i])  # noqa: E731
    elif kind in ("gemma2", "gpt_oss"):
        sees = lambda i: i % 2 == 0  # noqa: E731
    elif kind == "gemma3_text":
        sees = lambda i: (i + 1) % fields.number("sliding_window_pattern", 6) != 0  # noqa: E731
    else:
        sees = lambda i: True  # noqa: E731
    dense = fields.number("first_k_dense_replace", 0)
    step = fields.number("moe_layer_freq", 0) or fields.number("decoder_sparse_step", 1)
    return tuple(
        Block(
            window=window if sees(i) else 0, experts=experts and i >= dense and (i % step == 0 if dense else (i + 1) % step == 0)
        )
        for i in range(count)
    )


def _other_parameters(model: Transformer, fields: _Fields, family: Family) -> int:
    """Embeddings, positions, normalizations, and the few numbers that a family has beside them."""
    hidden, kind = model.hidden, fields.data.get("model_type")
    words = model.vocabulary * hidden
    if family.positions >= 0:
        words += (fields.number("positions") + family.positions) * hidden
    if kind == "bert":
        words += fields.number("type_vocab_size", 2) * hidden + 2 * hidden
    per_layer = family.norms * family.norm_words * hidden
    over = model.heads + model.kv_heads if family.wide_head_norms else family.head_norms
    per_layer += over * model.head_dim if family.head_norms else 0
    if model.latent:
        per_layer += model.latent.rank + model.latent.query_rank
    if kind == "gpt_oss":
        per_layer += model.heads  # sinks
    words += per_layer * len(model.blocks)
    if kind == "deepseek_v3" and model.experts:
        words += sum(block.experts for block in model.blocks) * model.experts.count  # corrections of the router
    return words + (family.norm_words * hidden if family.final_norm else 0)


# --- pictures -----------------------------------------------------------------------------------------------


def _vision(fields: _Fields, options: ModelRun) -> NeuralNetwork:
    """A vision transformer: patches, an encoder, a classifier of the first position."""
    hidden, patch = fields.number("hidden"), fields.number("patch_size", 16)
    side = fields.number("image_size", 224) // patch
    channels, classes = fields.number("num_channels", 3), fields.number("num_labels", 1000)
    family = replace(FAMILIES["bert"], norms=2)
    fields = _Fields({**fields.data, "vocab_size": classes}, fields.file)
    model = replace(_transformer_of_pictures(fields, family), vocabulary=classes)
    positions, batch = side * side + 1, options.batch
    first = matrix_product("patches", MatrixSize(rows=batch * side * side, inner=channels * patch * patch, columns=hidden),
                           type="conv", bias=True)  # fmt: skip
    layers = transformer_layers(model, Run(batch=batch, tokens=positions, context=positions))
    head = matrix_product("head", MatrixSize(rows=batch, inner=hidden, columns=classes), type="head", bias=True)
    others = hidden + positions * hidden + len(model.blocks) * 4 * hidden + 2 * hidden
    return NeuralNetwork(
        name="vit", layers=(first, *layers, head), other_parameters=others, source=fields.file.name,
        notes=("the convolution of patches, which do not overlap, as a product of matrices",),
    )  # fmt: skip


def _transformer_of_pictures(fields: _Fields, family: Family) -> Transformer:
    hidden, heads = fields.number("hidden"), fields.number("heads")
    return Transformer(
        hidden=hidden,
        blocks=(Block(),) * fields.number("layers"),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        width=fields.number("width"),
        vocabulary=fields.number("vocab_size"),
        gated=False,
        causal=False,
        biases=replace(family.biases, query_key_value=fields.flag("qkv_bias", True)),
    )
