"""What benchmarks share: interleaved timing, medians of ratios, and rows for people and for programs."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from multidir.models.language_model import LanguageModel
from multidir.store.provenance import versions


@dataclass(frozen=True)
class Row:
    """One measured figure and the one it should reach."""

    name: str
    value: float
    unit: str
    against: str
    n: int
    at_least: float | None = None
    at_most: float | None = None

    def as_json(self) -> str:
        kept: dict[str, Any] = {"name": self.name, "value": float(f"{self.value:.6g}"), "unit": self.unit}
        goals = {"at_least": self.at_least, "at_most": self.at_most}
        kept |= {name: goal for name, goal in goals.items() if goal is not None}
        return json.dumps({**kept, "against": self.against, "n": self.n, "versions": versions()})


def arguments(description: str, peers: bool = False) -> Namespace:
    parser = ArgumentParser(description=description)
    if peers:
        parser.add_argument("--peers", action="store_true", help="measure other tools too, also with --quick")
    parser.add_argument("--quick", action="store_true", help="two minutes on two cores")
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--threads", type=int, default=1, help="more than one: elapsed instead of CPU seconds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def show(title: str, rows: Sequence[Row], as_json: bool) -> None:
    """A table for people, or one JSON object per row."""
    if as_json:
        print("\n".join(row.as_json() for row in rows))
        return
    wide = max(len(row.name) for row in rows)
    print(title)
    for row in rows:
        goal = f"at most {row.at_most:g}" if row.at_most is not None else ""
        goal = goal if row.at_least is None else f"at least {row.at_least:g}"
        print(f"  {row.name:<{wide}}  {row.value:>10.4g} {row.unit:<10} {goal:<15} {row.against} (n={row.n})")


def note(text: str) -> None:
    """Progress, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def seconds(work: Callable[[], object]) -> float:
    """Time of one call: CPU seconds of this process on one thread, otherwise elapsed seconds.

    On a machine that others use too, CPU seconds on one thread are the steadier measure.
    """
    gc.collect()
    clock = time.perf_counter if torch.cuda.is_available() or torch.get_num_threads() > 1 else time.process_time
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in every round, taken in turns (A B C A B C ...) after one unmeasured turn."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
        note(f"  round {turn + 1} of {rounds}: " + ", ".join(f"{name} {taken[name][-1]:.2f} s" for name in works))
    return taken


def ratio(slow: Sequence[float], fast: Sequence[float], scale: float = 1.0) -> float:
    """Median over rounds of slow / fast, times `scale` where the slow one did only a part."""
    return scale * statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def random_llama(
    d: int, layers: int, vocab: int, heads: int = 8, kv_heads: int = 4, mlp: int | None = None
) -> LanguageModel:
    """A Llama of random weights that never ends by itself; bfloat16 on a GPU, float32 on a CPU."""
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=d,
        intermediate_size=mlp or 3 * d,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
    )
    gpu = torch.cuda.is_available()
    with torch.random.fork_rng(devices=[]), torch.device("cuda" if gpu else "cpu"):
        torch.manual_seed(0)
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16 if gpu else torch.float32)
    model.eval().requires_grad_(False)
    model.generation_config = GenerationConfig(do_sample=False, pad_token_id=0)
    return LanguageModel("reasoning", model, _no_tokenizer(), "0" * 64, "random Llama")


def _no_tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
