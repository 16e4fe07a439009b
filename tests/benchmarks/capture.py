"""Capturing one layer of the residual stream: early exit against a full pass with `output_hidden_states`.

    python -m tests.benchmarks.capture [--quick] [--json] [--peers]

The model has random weights; the layer is a third of the way up. Both ways run the same right-padded
batches and copy every row of every sequence out. On a machine with a GPU an 8B-shaped model is measured too.
With --peers, and without --quick, nnsight and TransformerLens run beside us in an environment of their own.
"""

from __future__ import annotations

import json
from importlib import metadata

import torch

from multidir.models.capture import capture, right_padded
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from tests.benchmarks.measure import Row, arguments, interleaved, random_llama, ratio, show
from tests.benchmarks.peer_env import peer_python, run_there

PEERS = ("nnsight==0.8.1", "transformer-lens==4.3.0")


def ids_of(count: int, low: int, high: int, vocab: int) -> list[list[int]]:
    """Sequences that come sorted by length, so that both ways form the same batches."""
    g = torch.Generator().manual_seed(1)
    lengths = torch.randint(low, high + 1, (count,), generator=g).sort(descending=True).values.tolist()
    return [torch.randint(0, vocab, (n,), generator=g).tolist() for n in lengths]


@torch.inference_mode()
def full_pass(lm: LanguageModel, sequences: list[list[int]], site: Site, rows: int) -> list[torch.Tensor]:
    found = []
    for first in range(0, len(sequences), rows):
        batch = sequences[first : first + rows]
        ids, _ = right_padded(batch, 0)
        states = lm.model(ids.to(lm.device), use_cache=False, output_hidden_states=True).hidden_states
        hidden = states[site.hidden_states_index]
        found += [hidden[row, : len(ids)].to("cpu", copy=True) for row, ids in enumerate(batch)]
    return found


def measure(name: str, lm: LanguageModel, site: Site, tokens: int, goal: float, rounds: int) -> list[Row]:
    rows, vocab = 8, lm.vocab_size
    sequences = ids_of(max(rows, tokens // 120 // rows * rows), 120, 120, vocab)
    ragged = ids_of(2 * rows, 40, 120, vocab)

    def early() -> dict[int, torch.Tensor]:
        return {i: found[site] for i, found in capture(lm, sequences, [site], batch_tokens=rows * 120)}

    taken = interleaved({"early exit": early, "full pass": lambda: full_pass(lm, sequences, site, rows)}, rounds)
    same = all(torch.equal(a, b) for a, b in zip(early().values(), full_pass(lm, sequences, site, rows), strict=True))
    longest = len(ragged[0]) * rows
    padded = full_pass(lm, ragged[:rows], site, rows)
    pairs = zip(padded, (f[site] for _, f in capture(lm, ragged[:rows], [site], batch_tokens=longest)), strict=True)
    same_padded = all(torch.equal(a, b) for a, b in pairs)
    against = f"full pass with output_hidden_states, {site} of {lm.n_layers} blocks"
    speed = len(sequences) * 120 / min(taken["early exit"])
    return [
        Row(f"capture.early_exit.{name}", ratio(taken["full pass"], taken["early exit"]), "x", against, rounds, goal),
        Row(
            f"capture.tokens_per_second.{name}",
            speed,
            "tokens/s",
            f"{torch.get_num_threads()} threads or one GPU",
            rounds,
        ),
        Row(f"capture.bit_equal.{name}", float(same and same_padded), "share", against, len(sequences), 1.0),
    ]


def against_peers(quick: bool, threads: int) -> list[Row]:
    """The same capture by nnsight and TransformerLens, with the torch and transformers of this environment."""
    ours = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in ("torch", "transformers")]
    arguments = ["--threads", str(threads), *["--quick"] * quick]
    out = run_there(peer_python("capture", [*ours, *PEERS]), "tests.benchmarks.capture_peers", *arguments)
    return [Row(**json.loads(line)) for line in out.splitlines() if line.startswith("{")]


def main() -> None:
    options = arguments(__doc__ or "", peers=True)
    rounds = 5 if options.quick else 11
    small = random_llama(d=256, layers=12, vocab=4096)
    found = measure("small", small, Site(3), 7680 if options.quick else 15360, 2.2, rounds)
    if torch.cuda.is_available():
        large = random_llama(d=4096, layers=32, vocab=128256, heads=32, kv_heads=8, mlp=14336)
        found += measure("8b_shape", large, Site(10), 61440, 2.8, rounds)
    if options.peers or not options.quick:
        found += against_peers(options.quick, options.threads)
    show("Capture of the residual stream a third of the way up", found, options.json)


if __name__ == "__main__":
    main()
