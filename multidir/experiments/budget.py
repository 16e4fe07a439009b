"""What a study will take: tokens, bytes, judge dollars and GPU time, by arithmetic from the shape of the models alone.

    weights of a block     2 d h + 2 d k + 3 d m      h, k widths of all query and of all key-value heads, m of the MLP
    FLOP per token         2 x weights it passes + 2 x context x h per block (causal attention, half the square)
    a decode step          max(bytes of weights and cache / bandwidth, FLOP / rate) + launch x blocks

Every rate is an assumption, and is printed with the result.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from multidir.errors import FormatError
from multidir.store.bf16 import RAW

BYTES = 2
"""Of a weight and of an activation in half precision."""


@dataclass(frozen=True)
class Shape:
    """What the cost of a decoder depends on."""

    layers: int
    width: int
    mlp: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """From the config.json of a model folder.

        Raises:
            FormatError: there is none, or it does not say.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
            return cls(
                int(config["num_hidden_layers"]),
                width,
                int(config["intermediate_size"]),
                heads,
                int(config.get("num_key_value_heads") or heads),
                int(config.get("head_dim") or width // heads),
                int(config["vocab_size"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{folder}: its config.json does not give the model's shape ({error!r})") from error

    @property
    def block_weights(self) -> int:
        """Weights of one block, norms left out."""
        attention = 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        return attention + 3 * self.width * self.mlp

    @property
    def cache_bytes(self) -> int:
        """Bytes of the key-value cache per token."""
        return 2 * BYTES * self.layers * self.kv_heads * self.head_width

    def weights(self, blocks: int | None = None) -> int:
        """Weights that are loaded: the embedding with the first blocks, or everything."""
        embedding = self.vocabulary * self.width
        if blocks is not None:
            return embedding + blocks * self.block_weights
        return 2 * embedding + self.layers * self.block_weights

    def flops(self, context: int, blocks: int | None = None) -> float:
        """FLOP per token of a pass over `context` tokens through the first blocks, or through all and the head."""
        passed = self.layers if blocks is None else blocks
        head = self.vocabulary * self.width if blocks is None else 0
        attention = 2.0 * context * self.heads * self.head_width * passed
        return 2.0 * (passed * self.block_weights + head) + attention


@dataclass(frozen=True)
class Machine:
    """Assumed rates of one GPU and its disk."""

    name: str = "one H100"
    flops: float = 400e12
    """Effective, of 989e12 in half precision."""
    bandwidth: float = 2.5e12
    """Effective bytes per second, of 3.35e12."""
    launch: float = 0.5e-3
    """Seconds per block and step, as eager PyTorch needs them."""
    disk: float = 0.8e9
    """Bytes per second written."""

    def __str__(self) -> str:
        return (
            f"{self.name} at {self.flops / 1e12:.0f} TFLOP/s and {self.bandwidth / 1e12:.1f} TB/s effective, "
            f"{self.launch * 1e3:.1f} ms per block and step, a disk at {self.disk / 1e9:.1f} GB/s"
        )


@dataclass(frozen=True)
class Habits:
    """Assumed sizes of texts; the longest text is counted for every text."""

    prompt_tokens: int = 120
    """Of a problem in its chat template."""
    tokens_per_sentence: int = 25
    """5,882 sections in 300 published traces of 500 tokens."""
    bytes_per_token: int = 5
    """Of text on disk."""
    rubric_tokens: int = 1000
    """Instructions that a judge reads with every text."""
    tokens_per_label: int = 15
    """That a judge writes per sentence."""

    def sentences(self, tokens: int) -> int:
        """Sentences in so many tokens of text."""
        return round(tokens / self.tokens_per_sentence)

    def __str__(self) -> str:
        return (
            f"{self.prompt_tokens} tokens per problem, every text at its length limit, {self.tokens_per_sentence} "
            f"tokens per sentence; for a judge {self.rubric_tokens} tokens of instructions and "
            f"{self.tokens_per_label} per label"
        )


@dataclass(frozen=True)
class Prices:
    """Dollars of a judge per million tokens."""

    name: str = "gpt-4o"
    read: float = 2.5
    written: float = 10.0

    def __str__(self) -> str:
        return f"{self.name} at {self.read:g} / {self.written:g} dollars per million tokens (half by batch jobs)"


def generation_seconds(shape: Shape, machine: Machine, texts: int, prompt: int, new: int, rows: int) -> float:
    """Seconds to generate texts in full batches: the prompts once, then a step per token and batch."""
    if not texts:
        return 0.0
    prefill = texts * prompt * shape.flops(prompt) / machine.flops
    batch = min(rows, texts)
    compute = batch * shape.flops(prompt + new) / machine.flops
    moved = BYTES * shape.weights() + batch * (prompt + new // 2) * shape.cache_bytes
    step = max(moved / machine.bandwidth, compute) + shape.layers * machine.launch
    return prefill + math.ceil(texts / batch) * new * step


def capture_seconds(shape: Shape, machine: Machine, tokens: int, context: int, blocks: int, sites: int) -> float:
    """Seconds to read tokens through the first blocks and to write their activations, whichever takes longer."""
    compute = tokens * shape.flops(context, blocks) / machine.flops
    return max(compute, activation_bytes(shape, tokens, sites) / machine.disk)


def activation_bytes(shape: Shape, tokens: int, sites: int, dtype: str = "bfloat16") -> int:
    """Bytes of the activations of tokens at sites, of one model, stored as that type."""
    return tokens * sites * shape.width * RAW[dtype].itemsize


def judge_dollars(habits: Habits, prices: Prices, texts: int, tokens: int) -> float:
    """What a judge costs that reads texts of so many tokens each and labels their sentences."""
    read = texts * (habits.rubric_tokens + 1.1 * tokens)
    written = texts * habits.sentences(tokens) * habits.tokens_per_label
    return (read * prices.read + written * prices.written) / 1e6


def training_seconds(shape: Shape, machine: Machine, tokens: int, context: int) -> float:
    """Seconds to train on tokens: the backward pass costs as much as two forward passes."""
    return 3 * tokens * shape.flops(context) / machine.flops
