"""What an edit costs in a decoding step: 48 rows, width 4096, every operator and some scopes, against an addition.

    python -m tests.benchmarks.operators [--quick] [--json]

Only the edit is timed. One block of an 8B model does 2 x 218 M x 48 floating-point operations in the same step.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from multidir.models.positions import Positions
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.latent import Latent
from multidir.records.scope import Gate, Scope
from multidir.records.site import Site
from multidir.steer.live import LiveRowEdits
from multidir.steer.steering import Mixture, row_edits
from tests.benchmarks.measure import Row, arguments, interleaved, random_llama, ratio, show
from tests.models.tiny import tiny_tokenizer
from tests.steer.arms import Sae

ROWS, D, SITE, STEPS = 48, 4096, Site(0), 40


def mixtures() -> dict[str, list[Mixture]]:
    """What the rows get, by name; rows differ in dose."""
    rng = np.random.default_rng(0)
    v = [Direction.from_vector(f"v{i}", rng.normal(size=D), SITE) for i in range(16)]
    doses = [Dose(1 + row % 6, "residual") for row in range(ROWS)]
    add = [Intervention(v[0], dose) for dose in doses]
    span = Eraser.project_out(v[:8])
    erase = [Intervention(span, Dose(dose.value / 6, "share"), "erase") for dose in doses]
    latent = Latent(Sae.random("jumprelu", D, 4096), 3, SITE)
    scopes = [
        "decoded from token 5",
        'decoded from text "Wait"',
        "decoded at sentence start",
        Scope(gate=Gate(v[1].unit)),
    ]
    found: dict[str, list[Mixture]] = {
        "add": list(add),
        "add 16 directions": [[Intervention(u, dose) for u in v] for dose in doses],
        "erase 8 directions": list(erase),
        "clamp": [Intervention(latent, Dose(dose.value, "activation"), "clamp") for dose in doses],
        "amplify": [Intervention(SITE, dose, "amplify") for dose in doses],
        "noise": [Intervention(Noise(SITE), dose, "noise") for dose in doses],
        "replace": [Intervention(v[0], dose, "replace") for dose in doses],
        "erase, then add": [[one, replace(two, order=1)] for one, two in zip(erase, add, strict=True)],
    }
    return found | {f"add {Scope.of(scope)}": [replace(one, scope=scope) for one in add] for scope in scopes}


def step(items: list[Mixture]) -> Callable[[], None]:
    """A function that edits a decoding step, many times over."""
    lm = replace(random_llama(D, 1, 512, heads=32, kv_heads=8, mlp=512), tokenizer=tiny_tokenizer())
    (edits,) = row_edits(lm, items, seeds=range(ROWS))
    positions = Positions()
    positions.current, positions.fresh = torch.full((ROWS, 1), 400, device=lm.device), False
    positions.tokens = torch.randint(5, 300, (ROWS, 401), device=lm.device)
    live = LiveRowEdits(edits, lm, positions, range(ROWS), [100] * ROWS)
    hidden = torch.randn(ROWS, 1, D, device=lm.device, dtype=lm.dtype)

    @torch.inference_mode()
    def run() -> None:
        for _ in range(STEPS):
            live.apply(hidden)

    return run


def main() -> None:
    options = arguments(__doc__ or "")
    rounds = 5 if options.quick else 15
    taken = interleaved({name: step(items) for name, items in mixtures().items()}, rounds)
    rows = []
    for name, times in taken.items():
        milliseconds = 1000 * statistics.median(times) / STEPS
        rows.append(
            Row(f"operators.{name}", milliseconds, "ms/step", f"{ratio(times, taken['add']):.1f} x add", rounds)
        )
    show(f"One decoding step of {ROWS} rows of width {D}", rows, options.json)


if __name__ == "__main__":
    main()
