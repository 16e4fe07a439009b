"""The architectures by name: how each one selects latents and how it steps."""

from __future__ import annotations

from multidir.sae import batchtopk, jumprelu, matryoshka, standard, topk
from multidir.sae.step import Select, Step

STEPS: dict[str, Step] = {
    "topk": topk.step,
    "batchtopk": batchtopk.step,
    "crosscoder": batchtopk.step,
    "jumprelu": jumprelu.step,
    "matryoshka": matryoshka.step,
    "standard": standard.step,
}

SELECTIONS: dict[str, Select] = {
    "topk": topk.select,
    "batchtopk": batchtopk.select,
    "crosscoder": batchtopk.select,
    "jumprelu": jumprelu.select,
    "matryoshka": batchtopk.select,
    "standard": standard.select,
}
