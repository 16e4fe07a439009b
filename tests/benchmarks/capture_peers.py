"""Capture against nnsight and TransformerLens, in the environment of these peers; started by `capture`.

All three run the same random weights in one process, stop after the same block and copy every row of every
sequence out. `equal`: sequences of one length, so that all run the same batches and only the tool's own cost
differs. `traces`: lengths as reasoning traces have them, in the order in which they come; the peers pad batches of
eight as scripts do, multidir brings like lengths together in batches of no more tokens than their largest.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata

import nnsight
import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from multidir.models.capture import capture, right_padded
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from tests.benchmarks.measure import Row, arguments, interleaved, random_llama, ratio
from tests.models.tiny import tiny_tokenizer

ROWS = 8
SITE = Site(3)
STOPS = {"nnsight": "tracer.stop()", "transformer-lens": "stop_at_layer"}
GOALS = {"nnsight": 1.0, "transformer-lens": 1.15}
Rows = list[torch.Tensor]
Hidden = Callable[[torch.Tensor], torch.Tensor]
"""From padded ids to the residual stream at the site."""


def by_batch(sequences: list[list[int]], hidden: Hidden, device: torch.device) -> Rows:
    found: Rows = []
    with torch.inference_mode():
        for first in range(0, len(sequences), ROWS):
            batch = sequences[first : first + ROWS]
            states = hidden(right_padded(batch, 0)[0].to(device))
            found += [states[row, : len(ids)].to("cpu", copy=True) for row, ids in enumerate(batch)]
    return found


def with_nnsight(lm: LanguageModel, site: Site) -> Hidden:
    model = nnsight.NNsight(lm.model)

    def hidden(ids: torch.Tensor) -> torch.Tensor:
        with model.trace(ids, use_cache=False) as tracer:
            states = model.model.layers[site.layer].output.save()
            tracer.stop()
        return states

    return hidden


def with_transformer_lens(lm: LanguageModel, site: Site) -> Hidden:
    with tempfile.TemporaryDirectory() as folder:  # a copy of the weights: the bridge rebuilds what it wraps
        lm.model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, dtype=lm.dtype, device=str(lm.device))
    return lambda ids: bridge(ids, stop_at_layer=site.layer + 1, return_type=None)


def sequences_of(lengths: list[int], vocab: int) -> list[list[int]]:
    g = torch.Generator().manual_seed(2)
    return [torch.randint(0, vocab, (n,), generator=g).tolist() for n in lengths]


def trace_lengths(count: int) -> list[int]:
    """Log-normal as in `store_work`, scaled down to this model."""
    return [int(n) for n in np.clip(np.random.default_rng(3).lognormal(4.4, 0.6, count), 20, 480)]


def compare(name: str, lm: LanguageModel, peers: dict[str, Hidden], lengths: list[int], rounds: int) -> list[Row]:
    sequences = sequences_of(lengths, lm.vocab_size)

    def ours() -> Rows:
        return [found[SITE] for _, found in capture(lm, sequences, [SITE], batch_tokens=ROWS * max(lengths))]

    works: dict[str, Callable[[], Rows]] = {"multidir": ours}
    works |= {peer: partial(by_batch, sequences, hidden, lm.device) for peer, hidden in peers.items()}
    taken, rows = interleaved(works, rounds), []
    for peer in peers:
        apart = max(float((a - b).abs().max()) for a, b in zip(ours(), works[peer](), strict=True))
        against = f"{peer} {metadata.version(peer)} {STOPS[peer]}, {SITE} of 12 blocks, differs by {apart:.1g}"
        speed = ratio(taken[peer], taken["multidir"])
        rows.append(Row(f"capture.{name}.{peer}", speed, "x", against, rounds, GOALS[peer]))
    return rows


def main() -> None:
    options = arguments(__doc__ or "")
    lm = random_llama(d=256, layers=12, vocab=4096)
    peers = {"nnsight": with_nnsight(lm, SITE), "transformer-lens": with_transformer_lens(lm, SITE)}
    for name, lengths in (("equal", [120] * 64), ("traces", trace_lengths(64))):
        for row in compare(name, lm, peers, lengths, 7 if options.quick else 15):
            sys.stdout.write(json.dumps(row.__dict__) + "\n")


if __name__ == "__main__":
    main()
