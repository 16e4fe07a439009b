"""Trainers of dictionaries in processes of their own, and rows for them to learn from; see tests.benchmarks.sae.

Peers that cannot live beside us get a virtual environment, made here below the cache folder (torch 2.13.0, about 1 GB).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from tests.benchmarks.measure import note

PEERS = ("dictionary-learning==0.1.0", "eai-sparsify==1.3.3")
_PART = 4096
"""Rows that are drawn at a time."""


def environment_of_peers() -> Path:
    """The Python of the peers' environment; made on the first call."""
    base = Path(os.environ.get("MULTIDIR_CACHE") or Path.home() / ".cache" / "multidir")
    python = base / "peers" / "sae" / "bin" / "python"
    if not python.exists():
        note(f"making an environment for the peers in {python.parents[1]}")
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "torch==2.13.0", "numpy", "safetensors", "tqdm", "einops", "simple-parsing"], check=True)
        # their other requirements (a second transformers stack, CUDA) are never used by a training step
        subprocess.run([*pip, "--no-deps", *PEERS], check=True)
    return python


class Worker:
    """A trainer in a process of its own."""

    def __init__(self, name: str, arch: str, data: Path, settings: Path) -> None:
        self.name, self.arch = name, arch
        own = name in ("multidir", "sae_lens", "multidir in sae_lens")
        python = sys.executable if own else str(environment_of_peers())
        script = str(Path(__file__).with_name("sae_peers.py"))
        root = {"PYTHONPATH": str(Path(__file__).parents[2])} if own else {}
        self.process = subprocess.Popen(
            [python, script, name, arch, str(data), str(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **root, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        self._answer()

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"{self.name} ended while it trained {self.arch}: exit code {self.process.wait()}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def synthetic(rows: int, d: int, width: int, seed: int = 0, device: str = "cpu") -> np.ndarray:
    """(rows, d) float32 sums of about twenty of `width` features and a little noise, mean norm sqrt(d)."""
    rng = torch.Generator(device).manual_seed(seed)
    features = normalize(torch.randn(width, d, generator=rng, device=device), dim=1)
    parts = []
    for _ in range(-(-rows // _PART)):
        on = torch.rand(_PART, width, generator=rng, device=device) < 20 / width
        noise = 0.1 * torch.randn(_PART, d, generator=rng, device=device) / d**0.5
        parts.append((on * (0.5 + torch.rand(_PART, width, generator=rng, device=device))) @ features + noise)
    data = torch.cat(parts)[:rows]
    return (data * (d**0.5 / data.norm(dim=1).mean())).cpu().numpy()
