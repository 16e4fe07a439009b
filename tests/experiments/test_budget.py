"""The arithmetic of costs against counted weights, and against figures worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multidir import resources
from multidir.errors import FormatError
from multidir.experiments.budget import (
    Habits,
    Machine,
    Prices,
    Shape,
    activation_bytes,
    capture_seconds,
    generation_seconds,
    judge_dollars,
    training_seconds,
)
from multidir.models.load import load_model
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec

LLAMA = Shape(32, 4096, 14336, 32, 8, 128, 128256)
GPU = Machine()


def test_llama_8b_by_hand() -> None:
    """218.1 M weights a block; 2.40 B through block 10; 5.0 GFLOP a token there and 15.5 in all, at 2k context."""
    assert LLAMA.block_weights == pytest.approx(218.1e6, rel=1e-3)
    assert 11 * LLAMA.block_weights == pytest.approx(2.40e9, rel=2e-3)
    assert LLAMA.weights(11) == pytest.approx(2.92e9, rel=3e-3)
    assert LLAMA.weights() == pytest.approx(8.03e9, rel=1e-3)
    early, whole = LLAMA.flops(2048, 11), LLAMA.flops(2048)
    assert early == pytest.approx(5.0e9, rel=0.01)
    assert whole == pytest.approx(15.5e9, rel=0.01)
    assert early / whole == pytest.approx(0.32, abs=0.005)
    assert LLAMA.cache_bytes == 131072
    assert activation_bytes(LLAMA, 1, 1) == 8192


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_disk_space_foretold_is_what_a_store_takes(dtype: str, tmp_path: Path) -> None:
    """sae_lens 6.54.12 leaves the width out of its estimate, so that it is 4096 times too small for Llama-8B."""
    tokens, key = 400, ("base", Site(10))
    spec = StoreSpec({"base": {"fingerprint": "0"}}, (Site(10),), LLAMA.width, dtype)
    trace = Trace("t", "p", "c", tuple(range(tokens)), 10, "text", "m")
    with ActivationStore.create(tmp_path, spec, [trace]) as writer:
        writer.append("t", {key: np.zeros((tokens, LLAMA.width), np.float32)})
    taken = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    foretold = activation_bytes(LLAMA, tokens, 1, dtype)
    assert foretold <= taken < 1.02 * foretold


def test_weights_are_those_of_a_real_model() -> None:
    lm = load_model("shipped:tiny/base", "base", "cpu")
    shape = Shape.read(Path(resources.path("tiny/base")))
    counted = sum(p.numel() for name, p in lm.model.named_parameters() if "norm" not in name)
    tied = lm.model.config.tie_word_embeddings
    assert shape.weights() - tied * shape.vocabulary * shape.width == counted
    block = sum(p.numel() for name, p in lm.model.model.layers[0].named_parameters() if "norm" not in name)
    assert shape.block_weights == block


def test_capture_is_as_slow_as_the_slower_of_gpu_and_disk() -> None:
    tokens = 100_000
    assert capture_seconds(LLAMA, GPU, tokens, 600, 11, 1) == pytest.approx(tokens * LLAMA.flops(600, 11) / GPU.flops)
    many = capture_seconds(LLAMA, GPU, tokens, 600, 32, 32)
    assert many == pytest.approx(tokens * 32 * 8192 / GPU.disk)
    assert capture_seconds(LLAMA, replace(GPU, disk=1e15), tokens, 600, 32, 32) < many


def test_generation_costs_a_step_per_token_and_batch() -> None:
    free = replace(GPU, bandwidth=1e30, flops=1e30)
    assert generation_seconds(LLAMA, free, 256, 100, 500, 256) == pytest.approx(500 * 32 * GPU.launch)
    assert generation_seconds(LLAMA, free, 257, 100, 500, 256) == pytest.approx(2 * 500 * 32 * GPU.launch)
    one = replace(GPU, launch=0.0)
    bound = generation_seconds(LLAMA, one, 1, 1, 1000, 1)
    weights, cache = 2 * LLAMA.weights(), 501 * LLAMA.cache_bytes
    assert bound == pytest.approx(1000 * (weights + cache) / GPU.bandwidth, rel=1e-3), "one text is bound by memory"
    assert generation_seconds(LLAMA, GPU, 0, 100, 500, 256) == 0


def test_a_judge_costs_what_it_reads_and_writes() -> None:
    habits, prices = Habits(rubric_tokens=500, tokens_per_label=10, tokens_per_sentence=25), Prices(read=2, written=8)
    assert judge_dollars(habits, prices, 1000, 1000) == pytest.approx((1000 * 1600 * 2 + 1000 * 40 * 10 * 8) / 1e6)
    assert 2 < judge_dollars(Habits(), Prices(), 300, 1500) < 8, "300 traces of middling length: a few dollars"


def test_the_shape_is_read_from_the_configuration_alone(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 2, "hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 3}
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 50, "num_key_value_heads": None}))
    assert Shape.read(tmp_path) == Shape(2, 12, 20, 3, 3, 4, 50)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="does not give the model's shape"):
        Shape.read(tmp_path)


def test_training_costs_three_passes() -> None:
    assert training_seconds(LLAMA, GPU, 1000, 192) == pytest.approx(3 * 1000 * LLAMA.flops(192) / GPU.flops)
