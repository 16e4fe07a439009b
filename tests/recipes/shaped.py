"""The paper's preset at small counts, on a pair of random models in the shape that one asks for, with a judge that
labels by turns: everything of the path but the weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from multidir.experiments.budget import Shape
from multidir.recipes.preset import Preset, Stage, load_preset
from multidir.records.pair import Pair
from tests.models.tiny import tiny_tokenizer

SCORING = {"min_coherent": 0.0}
"""What random weights write is never coherent."""

COUNTS: dict[str, dict[str, Any]] = {
    "data/prompts": {"derive": 2, "search": 1, "confirm": 1},
    "data/traces": {"max_new_tokens": 160},
    "analysis/geometry": {"draws": 20},
    "analysis/logit-lens": {"n_random": 20},
    "analysis/separation": {"draws": 20, "folds": 2},
    "analysis/density": {"draws": 20, "folds": 2},
    "train/directions": {"draws": 20},
    "analysis/offsets": {"doses": [1.4], "max_new_tokens": 8, "draws": 20, "scoring": SCORING},
    "analysis/steering": {"doses": [1.4], "max_new_tokens": 8, "draws": 20, "n_random": 1, "scoring": SCORING},
    "analysis/baselines": {"doses": [1.4], "max_new_tokens": 8, "draws": 20, "n_null": 1, "scoring": SCORING},
    "analysis/layers": {"doses": [1.4], "max_new_tokens": 8, "draws": 20, "scoring": SCORING},
}


def spelled_tokenizer(vocabulary: int, chat: bool) -> PreTrainedTokenizerFast:
    """A tokenizer whose every id spells something, so that what random weights write is text with sentences in it."""
    tokenizer = tiny_tokenizer(chat)
    rest = range(len(tokenizer), vocabulary)
    tokenizer.add_tokens([f" W{i:06d}" + "." * (i % 16 == 0) for i in rest])
    return tokenizer


def random_pair(folder: Path, shape: Shape, dtype: str = "float32") -> Pair:
    """Two models of random weights with a small tokenizer; the reasoning one has a chat template."""
    import torch

    for seed, role in enumerate(("base", "reasoning")):
        config = LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_width,
            max_position_embeddings=2048,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            dtype=dtype,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LlamaForCausalLM(config).to(getattr(torch, dtype))
        model.generation_config.do_sample = True
        model.save_pretrained(folder / role)
        spelled_tokenizer(shape.vocabulary, role == "reasoning").save_pretrained(folder / role)
    return Pair(str(folder / "base"), str(folder / "reasoning"), load_preset("llama8b").pair.special_map)


def paper_path(pair: Pair, judge_url: str) -> Preset:
    """`llama8b` with another pair, small counts and a judge elsewhere; every other setting is the preset's own."""
    preset = load_preset("llama8b")
    return replace(preset, pair=pair, stages=tuple(_small(stage, judge_url) for stage in preset.stages))


def _small(stage: Stage, judge_url: str) -> Stage:
    science = {**stage.science, **COUNTS.get(stage.recipe, {})}
    if stage.recipe == "data/annotate":
        science["judge"] = {"base_url": judge_url}
    return replace(stage, science=science)


def by_turns(numbers: list[int]) -> dict[int, str]:
    """Labels for numbered sentences: all that the paper's figures need, in turn."""
    labels = ("initializing", "deduction", "backtracking", "uncertainty-estimation", "example-testing")
    return {n: labels[n % len(labels)] for n in numbers}
