"""A dictionary of 8B size on a GPU: tokens per second, the share of what the dense encoder alone allows, and peers.

Two of our steps' parts are dense, the encoder's product and the choice among its results; the product alone sets the
limit. Peers run as they are used on a GPU: both multiply in bfloat16 by autocast, with float32 weights.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import linear

from tests.benchmarks.measure import Row, note, ratio, seconds
from tests.benchmarks.sae_worker import Worker, synthetic


@dataclass(frozen=True)
class Size:
    """Of a dictionary and of a batch."""

    d: int = 4096
    width: int = 65_536
    k: int = 64
    batch: int = 8192


GOALS = {"sae_lens": 3.0, "sparsify": 1.0}


def dense_seconds(size: Size, device: str) -> float:
    """Of the encoder's product alone, in bfloat16."""
    rows = torch.randn(size.batch, size.d, device=device, dtype=torch.bfloat16)
    encoder = torch.randn(size.width, size.d, device=device, dtype=torch.bfloat16)
    linear(rows, encoder)
    return statistics.median(seconds(lambda: linear(rows, encoder)) for _ in range(10))


def on_gpu(folder: Path, quick: bool, size: Size | None = None, device: str = "cuda") -> Iterator[Row]:
    """TopK against two trainers, in turns, all in bfloat16; another size and the CPU only show that it runs."""
    size = size or Size()
    rounds, steps = (3, 5) if quick else (8, 10)
    np.save(folder / "rows.npy", synthetic(3 * size.batch, size.d, size.width, device=device))
    settings = {"width": size.width, "k": size.k, "batch": size.batch, "lr": 1e-3, "nested": (), "l0_weight": 0.05}
    settings |= {"dead_after": 10_000_000, "idle": 0, "threshold": None, "device": device, "bf16": True}
    (folder / "settings.json").write_text(json.dumps(settings))
    taken: dict[str, list[float]] = {}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(name, "topk", folder / "rows.npy", folder / "settings.json"))
            for name in ("multidir", *GOALS)
        }
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                found = worker.ask(f"step {steps}")["seconds"]
                if turn:  # the first one compiles kernels
                    taken.setdefault(name, []).append(found)
            note(f"  gpu round {turn}: " + ", ".join(f"{name} {found[-1]:.2f} s" for name, found in taken.items()))
        scores = {name: worker.ask("score")["fvu"] for name, worker in workers.items()}
    ours = taken.pop("multidir")
    rate, limit = steps * size.batch / statistics.median(ours), size.batch / dense_seconds(size, device)
    against = f"{size.d} x {size.width}, k {size.k}, batch {size.batch}, bfloat16, {device}"
    yield Row("topk tokens per second", rate, "tokens/s", against, rounds)
    yield Row("topk share of the dense encoder's limit", rate / limit, "share", f"{limit:,.0f} tokens/s", rounds)
    for name, theirs in taken.items():
        yield Row("topk speed, 8B size", ratio(theirs, ours), "times", name, rounds, GOALS[name])
        yield Row(
            "topk FVU, ours over theirs, 8B size", scores["multidir"] / scores[name], "times", name, 1, None, 1.01
        )
