"""Rows straight from a model, for corpora that are too large to store: captured, mixed, trained on and forgotten.

Texts are drawn in a random order and captured in fills of a buffer; a fill's rows are permuted. Which texts make
up a fill depends on the seed and the lengths only, so that any batch can be reached without capturing those before it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import count

import numpy as np
import torch

from multidir.errors import AlignmentError, DesignError
from multidir.models.capture import capture
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from multidir.sae.source import Batch
from multidir.store.atomic import sha256_json
from multidir.types import IntArray, Role

Texts = Sequence[Sequence[int]]


class CaptureSource:
    """Batches of rows that models hold while they read texts; first positions are left out."""

    def __init__(
        self,
        models: Mapping[Role, LanguageModel],
        texts: Mapping[Role, Texts],
        sites: Sequence[Site],
        batch: int,
        seed: int,
        buffer_rows: int = 65_536,
        batch_tokens: int = 8192,
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare a source; nothing runs yet.

        Args:
            models: by role; upper blocks may be left out.
            texts: token ids that each model reads, the same number of tokens in each text.
            sites: where to read.
            batch: rows of a batch.
            seed: of the order.
            buffer_rows: rows that are mixed with each other; about so many are held in memory per model and site.
            batch_tokens: tokens of one forward pass.
            device: where batches go.

        Raises:
            AlignmentError: the models would read texts of different lengths.
            DesignError: fewer rows than a batch, or a buffer smaller than one.
        """
        lengths = {role: [len(text) for text in texts[role]] for role in models}
        self._lengths = next(iter(lengths.values()), [])
        if any(other != self._lengths for other in lengths.values()):
            raise AlignmentError("the models read texts of different lengths; each text needs as many ids in each")
        rows = sum(max(0, n - 1) for n in self._lengths)
        if min(rows, buffer_rows) < batch:
            raise DesignError(f"{rows} rows, {buffer_rows} of them mixed at a time, do not make a batch of {batch}")
        self._models, self._texts, self._sites = dict(models), texts, list(sites)
        self._batch, self._seed, self._buffer = batch, seed, buffer_rows
        self._batch_tokens, self._device = batch_tokens, device
        self.keys = tuple((role, site) for role in models for site in sites)
        made = [[lm.fingerprint for lm in models.values()], {role: [list(t) for t in texts[role]] for role in models}]
        self.identity = sha256_json([*made, [str(site) for site in sites], batch, seed, buffer_rows])

    def sample(self, rows: int) -> Batch:
        """Rows of the first texts in the order of the first pass."""
        wanted: list[int] = []
        for index in self._order(0).tolist():
            wanted.append(index)
            if sum(self._lengths[i] - 1 for i in wanted) >= rows:
                break
        return {key: values[:rows].to(self._device) for key, values in self.rows(wanted).items()}

    def batches(self, first: int) -> Generator[Batch, None, None]:
        """Endless full batches from number `first` on; fills that hold only earlier ones are not captured."""
        skip = first
        for turn in count():
            for number, fill in enumerate(self._fills(turn)):
                size = sum(self._lengths[i] - 1 for i in fill) // self._batch
                if skip >= size:
                    skip -= size
                    continue
                rows = self.rows(fill)
                order = np.random.default_rng([self._seed, turn, number]).permutation(len(next(iter(rows.values()))))
                for at in range(skip, size):
                    chosen = torch.from_numpy(order[at * self._batch : (at + 1) * self._batch])
                    yield {key: values[chosen].to(self._device) for key, values in rows.items()}
                skip = 0

    def _order(self, turn: int) -> IntArray:
        return np.random.default_rng([self._seed, turn]).permutation(len(self._lengths))

    def _fills(self, turn: int) -> list[list[int]]:
        """Texts of each fill of a pass; a last one that is too small for a batch joins the one before it."""
        fills: list[list[int]] = [[]]
        held = 0
        for index in self._order(turn).tolist():
            rows = max(0, self._lengths[index] - 1)
            if held >= self._buffer:
                fills.append([])
                held = 0
            fills[-1].append(index)
            held += rows
        if held < self._batch and len(fills) > 1:
            fills[-2:] = [fills[-2] + fills[-1]]
        return fills

    def rows(self, chosen: Sequence[int]) -> Batch:
        """All rows of chosen texts in their order, first positions left out."""
        found: Batch = {}
        for role, lm in self._models.items():
            texts = [self._texts[role][i] for i in chosen]
            parts: dict[Site, list[torch.Tensor]] = {site: [] for site in self._sites}
            for _, sites in capture(lm, texts, self._sites, self._batch_tokens):
                for site, rows in sites.items():
                    parts[site].append(rows[1:].float())
            found |= {(role, site): torch.cat(rows) for site, rows in parts.items()}
        return found
