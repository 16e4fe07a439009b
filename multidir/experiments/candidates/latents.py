"""Candidates from dictionaries: latents that are on, or off, before the behaviour, or that its log-odds depend on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from multidir.experiments.candidates.finders import Candidate, Sought
from multidir.experiments.candidates.gradients import Gradients
from multidir.experiments.dictionaries.subjects import Subject
from multidir.experiments.dictionaries.train import side_by_side
from multidir.methods.reason_score import reason_scores
from multidir.records.direction import Direction
from multidir.records.latent import Latent
from multidir.sae.dictionary import Dictionary, pieces
from multidir.sae.latents import clampable
from multidir.stats.clustered import mean_differences
from multidir.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class LatentTable:
    """What every latent of a dictionary does; f latents."""

    readings: FloatArray
    """(w, f) mean activation before each sentence."""
    t: FloatArray
    """(f,) contrast before the behaviour against elsewhere, clustered by trace; nan for silent latents."""
    reason_score: FloatArray
    """(f,)."""
    attribution: FloatArray
    """(f,) activation times what the log-odds of the words gain along the decoder row; nan in other models."""
    units: FloatArray
    """(f, d) decoder rows in the steered model, at length 1; zero where a latent writes nothing there."""
    nearest: FloatArray
    """(f,) largest cosine with a decoder row of another seed's dictionary; nan without one."""

    def chosen(self, count: int) -> IntArray:
        """Latents at either end of the contrast, of ReasonScore and of the attribution, so many at each end."""
        usable = np.linalg.norm(self.units, axis=1) > 0
        found: list[int] = []
        for score in (self.t, self.attribution, self.reason_score):
            known = np.flatnonzero(np.isfinite(score) & usable & np.isfinite(self.t))
            order = known[np.argsort(score[known], kind="stable")]
            found += [*order[-count:][::-1], *(order[:count] if score is not self.reason_score else ())]
        return np.array(list(dict.fromkeys(map(int, found))), dtype=np.int64)


def latent_candidates(
    sought: Sought, subjects: Sequence[Subject], word: IntArray, gradients: Gradients, count: int
) -> Iterator[Candidate]:
    """The best latents of every dictionary that reads the site.

    Args:
        sought: where is looked.
        subjects: dictionaries.
        word: (n,) for every row of the store, which keyword it is near; -1 for none, -2 for rows that do not count.
        gradients: of the log-odds of the words, in the steered model.
        count: latents at either end of each ranking.
    """
    for subject in subjects:
        if subject.keys[0][1] != sought.site or not isinstance(subject.coder, Dictionary):
            continue
        table = _table(sought, subject, subject.coder, word, gradients, _others(subject, subjects))
        own = subject.keys == ((sought.role, sought.site),)
        folded = clampable(subject.coder) if own else None
        prefix = subject.name if _others(subject, subjects) else "sae/" + "+".join(role for role, _ in subject.keys)
        facts = {"role": "+".join(role for role, _ in subject.keys), "dictionary": subject.name}
        for latent in table.chosen(count).tolist():
            source = {"label": sought.label, "store": sought.store.content_hash, **facts, "latent": latent}
            length = float(table.readings[sought.places.before, latent].mean())
            direction = Direction(f"{prefix}/{latent}", table.units[latent], length, sought.site, "sae", source)
            yield Candidate(
                direction,
                table.readings[:, latent],
                float(table.nearest[latent]),
                float(table.reason_score[latent]),
                float(table.attribution[latent]),
                None if folded is None else Latent(folded, latent, sought.site),
            )


def _others(subject: Subject, subjects: Sequence[Subject]) -> list[Subject]:
    return [each for each in subjects if each is not subject and each.keys == subject.keys]


@torch.no_grad()
def _table(
    sought: Sought,
    subject: Subject,
    coder: Dictionary,
    word: IntArray,
    gradients: Gradients,
    others: Sequence[Subject],
) -> LatentTable:
    rows = sought.places.rows
    acts = _encoded(sought, subject, coder, rows.ravel()).reshape(*rows.shape, -1)
    readings = acts.mean(dim=1).double().numpy()
    units = normalize(_written(subject, coder, sought), dim=1).double().numpy()
    own = subject.keys == ((sought.role, sought.site),)
    nearest = [(normalize(_written(each, each.coder, sought), dim=1).double().numpy()) for each in others]
    return LatentTable(
        readings,
        mean_differences(readings, sought.places.before, sought.places.trace).t,
        _reason_scores(sought, subject, coder, word),
        gradients.of_latents(coder) if own else np.full(coder.width, np.nan),
        units,
        np.max([(units @ each.T).max(axis=1) for each in nearest], axis=0) if nearest else np.full(coder.width, np.nan),
    )


def _encoded(sought: Sought, subject: Subject, coder: Dictionary, rows: IntArray) -> Tensor:
    parts = [coder.encode(side_by_side(sought.store, subject.keys, rows[p])) for p in pieces(len(rows), coder.width)]
    return torch.cat(parts)


def _written(subject: Subject, coder: object, sought: Sought) -> Tensor:
    """(f, d) decoder rows in the steered model, or in the one model there is."""
    directions: Tensor = coder.directions  # type: ignore[attr-defined]
    roles = [role for role, _ in subject.keys]
    return directions.chunk(len(roles), dim=1)[roles.index(sought.role) if sought.role in roles else 0]


def _reason_scores(sought: Sought, subject: Subject, coder: Dictionary, word: IntArray) -> FloatArray:
    """From means by word that are summed in pieces."""
    if not (word >= 0).any():
        return np.full(coder.width, np.nan)
    counted = np.flatnonzero(word >= -1)
    kinds = word[counted] + 1
    sums, counts = np.zeros((kinds.max() + 1, coder.width)), np.bincount(kinds)
    for part in pieces(len(counted), coder.width):
        acts = coder.encode(side_by_side(sought.store, subject.keys, counted[part])).double().numpy()
        for kind in np.unique(kinds[part]):
            sums[kind] += acts[kinds[part] == kind].sum(axis=0)
    means = sums / np.maximum(counts, 1)[:, None]
    return reason_scores(means[1:], counts[1:], means[0])
