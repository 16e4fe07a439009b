"""What a latent responds to: the tokens on which it is strongest, one per text, with the words around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from multidir.records.site import Site
from multidir.sae.dictionary import Coder
from multidir.store.activations import ActivationStore
from multidir.types import Role


@dataclass(frozen=True)
class Example:
    """One token on which a latent is active."""

    latent: int
    activation: float
    trace_id: str
    position: int
    """Of the token in its text."""


@torch.no_grad()
def strongest(
    coder: Coder, store: ActivationStore, role: Role, site: Site, latents: Sequence[int], count: int = 5
) -> list[Example]:
    """The texts in which each latent is strongest, by their strongest token, first positions left out.

    Reads one text at a time, so that any store fits.

    Args:
        coder: a dictionary.
        store: where the rows are.
        role: `base` or `reasoning`.
        site: where in the model.
        latents: whose examples.
        count: texts per latent at most; fewer where a latent is active in fewer.

    Returns:
        By latent in the given order, strongest first.
    """
    chosen = list(latents)
    peaks, places = [], []
    for info in store.traces:
        acts = coder.encode(torch.from_numpy(store.rows(role, site, slice(info.row_start + 1, info.row_end))))
        best = acts[:, chosen].max(0) if len(acts) else None
        peaks.append(best.values if best is not None else torch.zeros(len(chosen)))
        places.append(best.indices + 1 if best is not None else torch.zeros(len(chosen), dtype=torch.int64))
    values, where = torch.stack(peaks), torch.stack(places)
    found: list[Example] = []
    for column, latent in enumerate(chosen):
        order = values[:, column].argsort(descending=True, stable=True)[:count].tolist()
        found += [
            Example(latent, float(values[t, column]), store.traces[t].id, int(where[t, column]))
            for t in order
            if values[t, column] > 0
        ]
    return found
