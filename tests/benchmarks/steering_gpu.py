"""The sweep of an 8B-shaped model on a GPU: tokens per second, share of the memory's limit, replay, and `generate`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from multidir.models.language_model import LanguageModel
from multidir.models.memory import bytes_per_token
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.sweep import sweep
from tests.benchmarks.measure import Row, interleaved, random_llama, ratio, seconds

PROMPTS, FEW, CONDITIONS, NEW, LENGTH = 300, 4, 12, 128, 64
ROWS, ROUNDS = 512, 2
SITE = Site(10)


def bandwidth() -> float:
    """Bytes per second of reading and writing the GPU's memory, by copying."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * 10 * source.numel() / seconds(lambda: [target.copy_(source) for _ in range(10)])


def least_seconds(lm: LanguageModel, speed: float, cells: int, rows: int) -> float:
    """What decoding takes if memory were its only limit: all weights once per step, all keys and values once."""
    weights = sum(each.numel() * each.element_size() for each in lm.model.parameters())
    held = bytes_per_token(lm) * (LENGTH + NEW / 2) * rows
    return NEW * cells / rows * (weights + held) / speed


def gpu_rows() -> list[Row]:
    """300 prompts x 12 conditions x 128 tokens in bfloat16, and 4 prompts in a batch of 48, which waits for launches.

    `generate` does one condition; prefill is in the time, but not in the limit.
    """
    lm = random_llama(d=4096, layers=32, vocab=128256, heads=32, kv_heads=8, mlp=14336)
    ids = torch.randint(0, lm.vocab_size, (PROMPTS, LENGTH), generator=torch.Generator().manual_seed(1))
    vector = Direction.from_vector("v", np.random.default_rng(0).normal(size=lm.d), SITE)
    conditions = [(f"{i}", Intervention(vector, Dose(float(i), "residual"))) for i in range(CONDITIONS)]
    prompts = [(str(i), each) for i, each in enumerate(ids.tolist())]
    sampling = Sampling(False, max_new_tokens=NEW)

    def ours(count: int, replay: bool) -> Callable[[], object]:
        rows = min(ROWS, count * CONDITIONS)
        return lambda: list(sweep(lm, prompts[:count], conditions, 1, sampling, rows, replay=replay))

    def theirs() -> None:
        add = torch.as_tensor(vector.unit).to(lm.device, lm.dtype)
        handle = lm.model.model.layers[SITE.layer].register_forward_hook(lambda m, a, out: out + add)
        batch = ids.to(lm.device)
        lm.model.generate(batch, attention_mask=torch.ones_like(batch), max_new_tokens=NEW, do_sample=False)
        handle.remove()

    ways = {f"{count} {replay}": ours(count, replay) for count in (PROMPTS, FEW) for replay in (True, False)}
    taken = interleaved(ways | {"generate": theirs}, ROUNDS)
    speed, found = bandwidth(), []
    for shape, count in (("8b", PROMPTS), ("8b.48_rows", FEW)):
        cells, again = count * CONDITIONS, taken[f"{count} True"]
        least, best = least_seconds(lm, speed, cells, min(ROWS, cells)), min(again)
        what = f"{count} prompts x {CONDITIONS} conditions x {NEW} tokens, bfloat16"
        gain = ratio(taken[f"{count} False"], again)
        found += [
            Row(f"steering.gpu.tokens_per_second.{shape}", cells * NEW / best, "tokens/s", what, ROUNDS),
            Row(f"steering.gpu.share_of_bandwidth.{shape}", least / best, "share", what, ROUNDS),
            Row(f"steering.gpu.replayed.{shape}", gain, "x", "every step launched anew", ROUNDS),
        ]
    against = ratio(taken["generate"], taken[f"{PROMPTS} True"], CONDITIONS)
    what = "generate, one condition at a time"
    return [*found, Row("steering.gpu.vs_generate.8b", against, "x", what, ROUNDS, 2.0)]
