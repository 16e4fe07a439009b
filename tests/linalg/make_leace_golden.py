"""Writes leace_golden.npz: what concept-erasure 0.2.4 makes of four small data sets.

It stands in its own environment, so that the tests need no further package:

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install numpy torch concept-erasure==0.2.4
    /tmp/oracle/bin/python tests/linalg/make_leace_golden.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("leace_golden.npz")


def data(seed: int, n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated activations, shifted by class, and one column per class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 2 * rng.normal(size=(k, d))[labels] + rng.normal(size=d)
    return x, np.eye(k)[labels]


def main() -> None:
    import torch
    from concept_erasure import LeaceFitter

    found: dict[str, np.ndarray] = {}
    shapes = {"plain": (200, 8, 2, False), "shrunk": (40, 12, 2, True), "classes": (300, 6, 4, False)}
    shapes["singular"] = (10, 12, 2, False)  # fewer rows than channels
    for seed, (name, (n, d, k, shrink)) in enumerate(shapes.items()):
        x, z = data(seed, n, d, k)
        fitter = LeaceFitter(d, k, dtype=torch.float64, shrinkage=shrink)
        for rows in np.array_split(np.arange(n), 3):
            fitter.update(torch.from_numpy(x[rows]), torch.from_numpy(z[rows]))
        erased = fitter.eraser(torch.from_numpy(x)).numpy()
        found |= {f"{name}.x": x, f"{name}.z": z, f"{name}.erased": erased, f"{name}.shrink": np.array(shrink)}
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main()
