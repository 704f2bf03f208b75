"""Configurations of Hugging Face: layers by hand, what a file leaves open, and mistakes with their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparseloop.input.diagnostics import SpecError
from sparseloop.input.networks.huggingface import ModelRun, network_of_config, read_config
from sparseloop.input.networks.layers import NetworkLayer

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 100,
}


def layers_of(run: ModelRun, **changes: Any) -> dict[str, NetworkLayer]:
    return {layer.name: layer for layer in network_of_config({**SMALL, **changes}, run).layers}


def test_queries_that_share_a_head_of_keys_are_rows_of_one_product() -> None:
    layers = layers_of(ModelRun(seq=10, batch=5))
    assert layers["query"].shape == {"n": 1, "g": 1, "m": 128, "c": 64, "p": 50, "q": 1, "r": 1, "s": 1}
    assert layers["key"].shape["m"] == 32
    assert layers["scores"].shape == {"n": 1, "g": 10, "m": 10, "c": 16, "p": 40, "q": 1, "r": 1, "s": 1}
    assert layers["weighted_values"].shape == {"n": 1, "g": 10, "m": 16, "c": 10, "p": 40, "q": 1, "r": 1, "s": 1}
    assert layers["scores"].times == 3
    assert layers["scores"].parameters == 0
    assert layers["lm_head"].shape["p"] == 5


def test_decoding_computes_one_position_of_every_sample() -> None:
    layers = layers_of(ModelRun(seq=10, batch=5, phase="decode"))
    assert layers["query"].shape["p"] == 5
    assert (layers["scores"].shape["p"], layers["scores"].shape["m"]) == (4, 10)
    # keys and values once per head and sample: 2 * kv heads * head size * positions
    assert layers["scores"].words("W") + layers["weighted_values"].words("W") == 5 * 2 * 2 * 16 * 10


def test_a_window_limits_what_is_seen() -> None:
    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    layers = layers_of(ModelRun(seq=10), sliding_window=4, layer_types=kinds)
    assert (layers["sliding.scores"].shape["m"], layers["sliding.scores"].times) == (4, 2)
    assert (layers["full.scores"].shape["m"], layers["full.scores"].times) == (10, 1)
    assert "scores" in layers_of(ModelRun(seq=10), sliding_window=10)


EXPERTS = {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}


def test_tokens_are_routed_to_their_experts() -> None:
    layers = layers_of(ModelRun(seq=10), **EXPERTS)
    up, down = layers["expert_up"], layers["expert_down"]
    assert up.einsum == "O[n,g,m,p,q] = I[n,c,p+r,q+s] * W[g,m,c,r,s] * R[p,g]"
    assert down.einsum == "O[n,m,p,q] = I[n,g,c,p+r,q+s] * W[g,m,c,r,s] * R[p,g]"
    assert up.to_data()["density"] == {"R": {"model": "structured", "n": 2, "m": 8, "rank": "g"}}
    assert up.multiplications == 10 * 2 * 64 * 96 * 3
    assert up.parameters == 8 * 64 * 96 * 3


def test_one_token_needs_its_own_experts_only() -> None:
    up = layers_of(ModelRun(seq=10, phase="decode"), **EXPERTS)["expert_up"]
    assert up.einsum == "O[n,g,m,p,q] = I[n,c,p+r,q+s] * W[g,m,c,r,s]"
    assert (up.shape["g"], up.words("I"), up.parameters) == (2, 64, 8 * 64 * 96 * 3)


LATENT = {
    "model_type": "deepseek_v3", "kv_lora_rank": 24, "q_lora_rank": None, "qk_nope_head_dim": 12, "qk_rope_head_dim": 4,
    "v_head_dim": 10, "num_key_value_heads": 8,
}  # fmt: skip


def test_latent_attention_expanded_and_absorbed() -> None:
    expanded = layers_of(ModelRun(seq=10), **LATENT)
    assert expanded["key_value_up"].shape["m"] == 8 * (12 + 10)
    assert (expanded["scores"].shape["g"], expanded["scores"].shape["c"]) == (8, 16)
    absorbed = layers_of(ModelRun(seq=10, phase="decode"), **LATENT)
    assert (absorbed["query_to_latent"].shape["g"], absorbed["query_to_latent"].shape["m"]) == (8, 24)
    assert absorbed["scores"].words("W") == 10 * (24 + 4)  # what is kept of every position
    assert sum(one.parameters for one in expanded.values()) == sum(one.parameters for one in absorbed.values())
    forced = layers_of(ModelRun(seq=10, phase="decode", mla="expanded"), **LATENT)
    assert forced["key_value_up"].shape["p"] == 10


def test_words_kept_per_token() -> None:
    assert "KV cache: 64 words per token and layer" in network_of_config(SMALL, ModelRun(seq=10)).notes[0]
    assert "KV cache: 28 words" in network_of_config({**SMALL, **LATENT}, ModelRun(seq=10)).notes[0]
    assert "55 of 100 pairs" in network_of_config(SMALL, ModelRun(seq=10)).notes[1]


def test_the_language_part_of_a_model_of_pictures() -> None:
    whole = {"model_type": "llava", "text_config": SMALL}
    assert network_of_config(whole, ModelRun(seq=4)).layers == network_of_config(SMALL, ModelRun(seq=4)).layers


@pytest.mark.parametrize(
    ("change", "message", "line"),
    [
        ({"hidden_size": "wide"}, "hidden_size: expected a whole number above 0", 3),
        ({"hidden_size": -1}, "expected a whole number above 0, got -1", 3),
        ({"num_key_value_heads": 3}, "8 heads cannot share 3 heads", 6),
        ({"model_type": "lama"}, "models of type 'lama' are not known", 2),
        ({"vocab_size": None}, "the configuration lacks 'vocab_size'", 9),
        ({"layer_types": ["full_attention"]}, "expected a list of 3 names", 10),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, change: dict[str, Any], message: str, line: int) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**SMALL, **change}, indent=2), encoding="utf-8")
    with pytest.raises(SpecError) as error:
        read_config(file, ModelRun(seq=4))
    assert message in str(error.value)
    assert error.value.diagnostics[0].span is not None
    assert error.value.diagnostics[0].span.line == line


def test_the_free_axis_is_asked_for() -> None:
    with pytest.raises(SpecError, match="'seq' is free"):
        network_of_config(SMALL, ModelRun())


def test_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "llama",\n  "hidden_size": }', encoding="utf-8")
    with pytest.raises(SpecError, match=r"config.json:2:18: error: Expecting value"):
        read_config(file, ModelRun(seq=4))
