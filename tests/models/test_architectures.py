"""Any causal model of transformers: the site means the same everywhere, and only what is needed is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from transformers import modeling_utils
from transformers.utils import logging as their_logging

from multidir.models.capture import capture
from multidir.models.load import load_model
from multidir.records.site import Site
from tests.models.tiny import tiny_tokenizer

SHAPE = {
    "vocab_size": 416,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
GPT = {"vocab_size": 416, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 256}
HEADS = {"vocab_size": 416, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
CONFIGS: dict[str, Any] = {
    "llama": lambda: hf.LlamaConfig(**SHAPE),
    "qwen3": lambda: hf.Qwen3Config(**SHAPE, head_dim=8),
    "gemma2": lambda: hf.Gemma2Config(**SHAPE, head_dim=8, sliding_window=8),
    "gemma3": lambda: hf.Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=8),
    "mixtral": lambda: hf.MixtralConfig(**SHAPE, num_local_experts=4),
    "gpt-oss": lambda: hf.GptOssConfig(**SHAPE, head_dim=8, num_local_experts=4, num_experts_per_tok=2),
    "phi": lambda: hf.PhiConfig(**SHAPE),
    "gpt2": lambda: hf.GPT2Config(**GPT),
    "gptj": lambda: hf.GPTJConfig(**GPT, rotary_dim=4),
    "neox": lambda: hf.GPTNeoXConfig(**HEADS, intermediate_size=64, max_position_embeddings=256),
    "opt": lambda: hf.OPTConfig(**HEADS, ffn_dim=64, max_position_embeddings=256, word_embed_proj_dim=32),
    "falcon": lambda: hf.FalconConfig(**HEADS),
    "bloom": lambda: hf.BloomConfig(vocab_size=416, hidden_size=32, n_layer=4, n_head=4),
    "mpt": lambda: hf.MptConfig(vocab_size=416, d_model=32, n_layers=4, n_heads=4, max_seq_len=256),
}
SITES = [Site(0, "resid_pre"), Site(0), Site(2)]


def saved(kind: str, folder: Path) -> str:
    """A random model of that architecture with a tokenizer, on disk."""
    bars = their_logging.is_progress_bar_enabled()
    their_logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf.AutoModelForCausalLM.from_config(CONFIGS[kind]()).save_pretrained(folder)
    if bars:
        their_logging.enable_progress_bar()
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", CONFIGS)
def test_sites_are_the_hidden_states_of_transformers(kind: str, tmp_path: Path) -> None:
    source = saved(kind, tmp_path)
    sequences = [list(range(5, 5 + n)) for n in (9, 9, 4)]
    padded = torch.tensor([ids + [2] * (9 - len(ids)) for ids in sequences])
    whole, lower = load_model(source, "base", "cpu"), load_model(source, "base", "cpu", upto_layer=2)
    states = whole.model(padded, output_hidden_states=True, use_cache=False).hidden_states
    for lm in (whole, lower):
        for index, found in capture(lm, sequences, SITES):
            for site in SITES:
                assert torch.equal(found[site], states[site.hidden_states_index][index, : len(sequences[index])])
    assert (whole.n_layers, lower.n_layers) == (4, 3)


class Watched:
    """A tensor in a file that notes when it is read."""

    def __init__(self, tensor: Any, name: str, read: set[str]) -> None:
        self._tensor, self._name, self._read = tensor, name, read

    def __getitem__(self, where: Any) -> Any:
        self._read.add(self._name)
        return self._tensor[where]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tensor, name)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the tensors that transformers reads from checkpoint files."""
    names: set[str] = set()
    real = modeling_utils.safe_open

    class WatchedFile:
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            self._file = real(*arguments, **settings)

        def get_slice(self, name: str) -> Watched:
            return Watched(self._file.get_slice(name), name, names)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    monkeypatch.setattr(modeling_utils, "safe_open", WatchedFile)
    return names


def test_only_what_is_needed_is_read_and_held(tmp_path: Path, read: set[str]) -> None:
    source = saved("llama", tmp_path)
    whole = load_model(source, "base", "cpu")
    everything = set(read)
    read.clear()
    lower = load_model(source, "base", "cpu", upto_layer=1)
    kept = ("model.embed", "model.norm", "model.layers.0.", "model.layers.1.")
    needed = {name for name in everything if name.startswith(kept)}
    assert everything > needed
    assert read == needed
    held = dict(lower.model.named_parameters())
    assert {f"model.{name}" for name in held} == needed
    assert not any(p.is_meta for p in held.values())
    assert sum(p.numel() for p in held.values()) < 0.6 * sum(p.numel() for p in whole.model.parameters())
