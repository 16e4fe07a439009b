"""The sweep of an 8B-shaped model on a GPU: tokens per second, share of the memory's limit, and against `generate`."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from multidir.models.load import LanguageModel
from multidir.models.memory import bytes_per_token
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.sweep import sweep
from tests.benchmarks.measure import Row, random_llama, seconds

PROMPTS, CONDITIONS, NEW, LENGTH = 300, 12, 128, 64
ROWS = 512
SITE = Site(10)


def bandwidth() -> float:
    """Bytes per second of reading and writing the GPU's memory, by copying."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * 10 * source.numel() / seconds(lambda: [target.copy_(source) for _ in range(10)])


def least_seconds(lm: LanguageModel, speed: float) -> float:
    """What decoding takes if memory were its only limit: all weights once per step, all keys and values once."""
    weights = sum(each.numel() * each.element_size() for each in lm.model.parameters())
    steps = NEW * PROMPTS * CONDITIONS / ROWS
    held = bytes_per_token(lm) * (LENGTH + NEW / 2) * ROWS
    return steps * (weights + held) / speed


def gpu_rows() -> list[Row]:
    """300 prompts x 12 conditions x 128 tokens in bfloat16; `generate` does a part, one condition at a time."""
    lm = random_llama(d=4096, layers=32, vocab=128256, heads=32, kv_heads=8, mlp=14336)
    ids = torch.randint(0, lm.vocab_size, (PROMPTS, LENGTH), generator=torch.Generator().manual_seed(1))
    vector = Direction.from_vector("v", np.random.default_rng(0).normal(size=lm.d), SITE)
    conditions = [(f"{i}", Intervention(vector, Dose(float(i), "residual"))) for i in range(CONDITIONS)]
    prompts = [(str(i), each) for i, each in enumerate(ids.tolist())]
    sampling = Sampling(False, max_new_tokens=NEW)
    list(islice(sweep(lm, prompts[:8], conditions, 1, sampling, ROWS), 8))
    ours = seconds(lambda: list(sweep(lm, prompts, conditions, 1, sampling, ROWS)))

    def theirs() -> None:
        add = torch.as_tensor(vector.unit).to(lm.device, lm.dtype)
        handle = lm.model.model.layers[SITE.layer].register_forward_hook(lambda m, a, out: out + add)
        batch = ids.to(lm.device)
        lm.model.generate(batch, attention_mask=torch.ones_like(batch), max_new_tokens=NEW, do_sample=False)
        handle.remove()

    theirs()
    one = seconds(theirs)
    what, total = f"{PROMPTS} prompts x {CONDITIONS} conditions x {NEW} tokens, bfloat16", PROMPTS * CONDITIONS * NEW
    return [
        Row("steering.gpu.tokens_per_second.8b", total / ours, "tokens/s", what, 1),
        Row("steering.gpu.share_of_bandwidth.8b", least_seconds(lm, bandwidth()) / ours, "share", what, 1),
        Row("steering.gpu.vs_generate.8b", CONDITIONS * one / ours, "x", "generate, one condition at a time", 1, 2.0),
    ]
