"""Directions and interventions for the tests of steering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from multidir.linalg.erase import erase
from multidir.linalg.noise import combined, gaussian
from multidir.models.generation import Generation
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.latent import Latent
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.steer.edit import RowEdits
from multidir.steer.operators.add import Add
from multidir.steer.receipt import check_row
from multidir.steer.term import Term


def direction(seed: int = 0, site: Site = Site(1), d: int = 32, length: float = 3.0) -> Direction:  # noqa: B008
    vector = np.random.default_rng(seed).normal(size=d)
    return Direction.from_vector(f"random-{seed}", vector / np.linalg.norm(vector) * length, site)


def adding(site: Site, bank: np.ndarray, coefficients: np.ndarray, scopes: Sequence[str] | str) -> RowEdits:
    """Additions alone: row i gets `coefficients[i] @ bank`, and a row of zeros nothing."""
    used, pick = np.unique(coefficients, axis=0, return_inverse=True)
    pick = np.where(np.any(coefficients != 0, axis=1), pick.reshape(-1), -1)
    where = [scopes] * len(pick) if isinstance(scopes, str) else scopes
    return RowEdits(site, [Term(Add(torch.from_numpy(used @ bank)), pick, tuple(map(Scope.of, where)))])


def added(edits: RowEdits) -> np.ndarray:
    """(b, d): what each row adds, of edits that do nothing else."""
    (term,) = edits.terms
    vectors = term.operator.tensors()["vector"].numpy()
    return np.where(term.pick[:, None] >= 0, vectors[term.pick], 0)


def check_receipts(edits: Sequence[RowEdits], generations: Sequence[Generation]) -> None:
    for row, made in enumerate(generations):
        check_row(edits, row, made.token_ids[:-1], made.n_prompt)


def add(dose: float, seed: int = 0, site: Site = Site(1), scope: Scope | str = "all") -> Intervention:  # noqa: B008
    return Intervention(direction(seed, site), Dose(dose, "residual"), scope=Scope.of(scope))


@dataclass(frozen=True)
class Sae:
    """A dictionary as steering needs it."""

    W_enc: np.ndarray
    b_enc: np.ndarray
    W_dec: np.ndarray
    b_dec: np.ndarray
    threshold: np.ndarray | None = None
    k: int | None = None

    @classmethod
    def random(cls, kind: str = "relu", d: int = 32, f: int = 24, seed: int = 0) -> Sae:
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(d, f)) / np.sqrt(d)
        threshold = rng.uniform(0, 1, f) if kind == "jumprelu" else None
        k = 5 if kind == "topk" else None
        return cls(weights, rng.normal(size=f) / 4, rng.normal(size=(f, d)), rng.normal(size=d), threshold, k)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """(..., f) latents."""
        z = x @ self.W_enc + self.b_enc
        if self.k is not None:
            least = np.sort(z, axis=-1)[..., -self.k][..., None]
            return np.where(z >= least, z, 0) * (z > 0)
        return z * (z > 0) * (z > (0 if self.threshold is None else self.threshold))


RELU, JUMP, TOPK = (Sae.random(kind) for kind in ("relu", "jumprelu", "topk"))


def done(item: Intervention, x: np.ndarray, seed: int = 0, places: np.ndarray | None = None) -> np.ndarray:
    """What an intervention makes of activations (t, d): the formulas, in numpy and float64, for one row."""
    a, subject = item.dose.value, item.subject
    if item.dose.unit == "activation" and isinstance(subject, Direction):
        a *= subject.length
    if isinstance(subject, Eraser):
        return erase(x, subject.left, subject.right, subject.center, a)
    if isinstance(subject, Latent):
        now = subject.dictionary.encode(x)[:, subject.index]  # type: ignore[attr-defined]
        return x + (a - now)[:, None] * subject.writes
    if isinstance(subject, Site):
        norm = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
        return x + a * (x if item.dose.unit == "activation" else x / norm)
    if isinstance(subject, Noise):
        at = np.arange(len(x)) if places is None else places
        number = 2 * subject.site.layer + (subject.site.stream == "resid_post")
        key = combined(np.array([seed]), np.array([number]))
        key = combined(key, at if subject.fresh else np.full(len(x), -1))
        factor = np.eye(x.shape[-1]) if subject.factor is None else subject.factor
        drawn = gaussian(key, len(factor)) @ factor
        return x + a * drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
    return a * np.broadcast_to(subject.unit, x.shape) if item.operator == "replace" else x + a * subject.unit
