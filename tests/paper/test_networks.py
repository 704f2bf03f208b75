"""Published numbers of multiplications and parameters of networks: equal to the digit, or to the digits that are published.

They are recalled, not looked up again; that sums of formulas meet them to the last digit speaks for both.
"""

from __future__ import annotations

from typing import Any

import pytest

from sparseloop.designs import FOLDER, machine_files
from sparseloop.designs.on_machine import network_on
from sparseloop.evaluation.humanize import count_text, energy_text
from sparseloop.input.networks.huggingface import ModelRun, network_of_config
from sparseloop.input.networks.zoo import ZOO, zoo_network
from sparseloop.mapper.network import map_network
from sparseloop.mapper.options import SearchOptions

# torchvision.models, the table of pre-trained weights: "num_params" and "_ops" (10^9 multiplications)
TORCHVISION = {
    "alexnet": (61_100_840, 0.714),
    "vgg16": (138_357_544, 15.470),
    "vgg19": (143_667_240, 19.632),
    "googlenet": (6_624_904, 1.498),
    "squeezenet1_1": (1_235_496, 0.349),
    "resnet18": (11_689_512, 1.814),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnext50": (25_028_904, 4.230),
    "densenet121": (7_978_856, 2.834),
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "efficientnet_b0": (5_288_548, 0.386),
    "vit_b_16": (86_567_656, 17.564),
}
OTHERS = {
    "mobilenet_v1": (4_231_976, 0.569),  # Howard et al. 2017: 569 M, 4.2 M; the digits: Keras' documentation without its moments
    "bert_base": (109_482_240, None),  # model card of bert-base-uncased, "110M"; digits: its safetensors without the heads
    "bert_large": (335_141_888, None),
    "gpt2": (124_439_808, None),  # model cards of openai-community
    "gpt2_xl": (1_557_611_200, None),
    "llama_2_7b": (6_738_415_616, None),  # safetensors of the model cards from here on
    "llama_3_8b": (8_030_261_248, None),
    "mixtral_8x7b": (46_702_792_704, None),
    "dlrm": (2_368_897, None),  # MLPerf's reference: the MLPs
    "gcn": (23_063, None),  # Kipf, Welling: 1433 x 16 + 16 x 7 weights and biases
}


@pytest.mark.parametrize("name", sorted(ZOO))
def test_networks_have_their_published_size(name: str) -> None:
    parameters, billions = (TORCHVISION | OTHERS)[name]
    network = zoo_network(name)
    assert network.parameters == parameters
    if billions is not None:
        assert round(network.multiplications / 1e9, 3) == billions
    assert network.source


def config(kind: str, hidden: int, layers: int, heads: int, **more: Any) -> dict[str, Any]:
    sizes = {"model_type": kind, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return sizes | more


# sizes from the model cards' config.json, parameters as the safetensors of the card give them
PUBLISHED = {
    "Llama-2-70b": (68_976_648_192, config("llama", 8192, 80, 64, num_key_value_heads=8,
                                             intermediate_size=28672, vocab_size=32000)),
    "Mistral-7B-v0.1": (
        7_241_732_096,
        config("mistral", 4096, 32, 32, num_key_value_heads=8, intermediate_size=14336, vocab_size=32000, sliding_window=4096),
    ),
    "Qwen2-7B": (
        7_615_616_512,
        config("qwen2", 3584, 28, 28, num_key_value_heads=4, intermediate_size=18944, vocab_size=152064, sliding_window=131072,
               use_sliding_window=False),
    ),
    "Qwen3-8B": (
        8_190_735_360,
        config("qwen3", 4096, 36, 32, num_key_value_heads=8, head_dim=128, intermediate_size=12288, vocab_size=151936),
    ),
    "Qwen3-30B-A3B": (
        30_532_122_624,
        config("qwen3_moe", 2048, 48, 32, num_key_value_heads=4, head_dim=128, intermediate_size=6144, vocab_size=151936,
               moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8, decoder_sparse_step=1),
    ),
    "gemma-7b": (
        8_537_680_896,
        config("gemma", 3072, 28, 16, num_key_value_heads=16, head_dim=256, intermediate_size=24576, vocab_size=256000),
    ),
    "gemma-2-9b": (
        9_241_705_984,
        config("gemma2", 3584, 42, 16, num_key_value_heads=8, head_dim=256, intermediate_size=14336, vocab_size=256000,
               sliding_window=4096),
    ),
    "phi-2": (2_779_683_840, config("phi", 2560, 32, 32, intermediate_size=10240, vocab_size=51200)),
    "pythia-6.9b": (6_857_302_016, config("gpt_neox", 4096, 32, 32, intermediate_size=16384, vocab_size=50432)),
    "opt-125m": (125_239_296, config("opt", 768, 12, 12, ffn_dim=3072, vocab_size=50272, max_position_embeddings=2048)),
    "DeepSeek-V2-Lite": (
        15_706_484_224,
        config("deepseek_v2", 2048, 27, 16, num_key_value_heads=16, intermediate_size=10944, vocab_size=102400,
               moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6,
               first_k_dense_replace=1, moe_layer_freq=1, q_lora_rank=None,
               kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128),
    ),
    "DeepSeek-V3": (
        671_026_419_200,
        config("deepseek_v3", 7168, 61, 128, num_key_value_heads=128, intermediate_size=18432, vocab_size=129280,
               moe_intermediate_size=2048, n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8,
               first_k_dense_replace=3, moe_layer_freq=1, q_lora_rank=1536,
               kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128),
    ),
    "gpt-oss-20b": (
        20_914_757_184,
        config("gpt_oss", 2880, 24, 64, num_key_value_heads=8, head_dim=64, num_local_experts=32, experts_per_token=4,
               intermediate_size=2880, vocab_size=201088, attention_bias=True, sliding_window=128),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_configurations_have_their_published_parameters(name: str, phase: Any) -> None:
    parameters, sizes = PUBLISHED[name]
    assert network_of_config(sizes, ModelRun(seq=64, phase=phase)).parameters == parameters


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["nvidia_stc", "tpu", "eyeriss_v1"])
def test_networks_on_the_pages_of_designs(machine: str) -> None:
    """Proven, with the energy and the cycles that the page says; 10 to 170 CPU-seconds."""
    page = (FOLDER / machine / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    for name, dims in (("resnet50", []), ("bert_base", ["dim.seq=384"])):
        found = map_network(network_on(name, machine_files(machine), dims), SearchOptions(minimize="edp", budget="300s"))
        assert all(layer.best is not None and layer.best.proven_optimal for layer in found.layers)
        totals = found.totals
        assert f"{energy_text(totals.energy_pj)}, {count_text(totals.cycles)} cycles" in page
