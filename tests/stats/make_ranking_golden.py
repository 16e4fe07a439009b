"""Writes ranking_golden.npz: what torchmetrics 1.9.0 makes of scores with and without ties, of rare and common labels.

It stands in its own environment, so that the tests need no further package:

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install numpy torch torchmetrics==1.9.0
    /tmp/oracle/bin/python tests/stats/make_ranking_golden.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("ranking_golden.npz")
CASES = {"smooth": (12, 0.3), "tied": (1, 0.3), "rare": (2, 0.04), "common": (12, 0.9)}
"""Decimals that scores are rounded to, and the share of positives."""


def main() -> None:
    import torch
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    found: dict[str, np.ndarray] = {}
    for seed, (name, (decimals, share)) in enumerate(CASES.items()):
        rng = np.random.default_rng(seed)
        labels = rng.random(400) < share
        scores = (1 / (1 + np.exp(-1.0 * labels - rng.normal(size=400)))).round(decimals)
        pair = torch.from_numpy(scores), torch.from_numpy(labels.astype(np.int64))
        found |= {f"{name}.scores": scores, f"{name}.labels": labels}
        found |= {f"{name}.auroc": binary_auroc(*pair).numpy()}
        found |= {f"{name}.average_precision": binary_average_precision(*pair).numpy()}
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main()
