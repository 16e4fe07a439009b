"""What the log-odds of words depend on at one site: gradients at the activations, and along the way from their mean.

    attribution of a direction u      sum over tokens of ((x - m) . u) (g . u)         less the effect of mean ablation
    attribution of a latent           sum over tokens of a(x) (g . w_dec)              less that of switching it off
    integrated                        g averaged over the straight way from the mean row m to x

A first-order estimate: what an edit does to the log-odds, if they were linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.experiments.directions.places import Questions
from multidir.models.forced import Context, next_logits
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import log_odds
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.sae.dictionary import Dictionary, pieces
from multidir.types import FloatArray

SCOPE = Scope("generated")
"""Where directions are added and taken out: what the model writes, and the last token before it."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Rows of the scope, of texts that are asked before the behaviour; per question."""

    x: FloatArray
    """(n, d) float64 activations."""
    gradient: FloatArray
    """(n, d) float64: derivative of the mean log-odds over the questions."""
    integrated: FloatArray
    """(n, d) float64: the same, averaged over the way from the mean row."""
    mean: FloatArray
    """(d,) float64."""

    @classmethod
    def of(
        cls,
        lm: LanguageModel,
        questions: Questions,
        site: Site,
        tokens: tuple[int, ...],
        mean: FloatArray,
        steps: int,
    ) -> Gradients:
        """Run every text once, and `steps` times on the way from the mean row.

        Raises:
            DesignError: a gradient that is not finite.
        """
        contexts = before_only(questions)
        asked = sum(len(context.at) for context in contexts)
        x, plain = _pass(lm, contexts, site, tokens, mean, 1.0)
        way = [_pass(lm, contexts, site, tokens, mean, (step + 0.5) / steps)[1] for step in range(steps)]
        integrated = np.mean(way, axis=0) if steps else np.full_like(plain, np.nan)
        if not np.isfinite(plain).all():
            raise DesignError(f"gradients at {site} are not finite; compute in float32")
        return cls(x, plain / asked, integrated / asked, mean)

    def of_directions(self, units: FloatArray, integrated: bool = False) -> FloatArray:
        """(k,) attribution of unit vectors (k, d)."""
        slope = self.integrated if integrated else self.gradient
        found: FloatArray = (((self.x - self.mean) @ units.T) * (slope @ units.T)).sum(axis=0)
        return found

    @torch.no_grad()
    def of_latents(self, coder: Dictionary) -> FloatArray:
        """(f,) attribution of the latents of a dictionary that reads this site of this model."""
        found = np.zeros(coder.width)
        rows, slopes = torch.from_numpy(self.x).float(), torch.from_numpy(self.gradient).float()
        for part in pieces(len(rows), coder.width):
            found += (coder.encode(rows[part]) * (slopes[part] @ coder.dec.T)).sum(dim=0).double().numpy()
        return found

    def of_edit(self, change: FloatArray, integrated: bool = False) -> float:
        """Estimated change of the mean log-odds by an edit that changes the rows by (n, d)."""
        return float((change * (self.integrated if integrated else self.gradient)).sum())


def before_only(questions: Questions) -> list[Context]:
    """The texts, asked only before the behaviour."""
    found, place = [], 0
    for context in questions.contexts:
        mine = questions.before[place : place + len(context.at)]
        place += len(context.at)
        at = tuple(p for p, before in zip(context.at, mine, strict=True) if before)
        found.append(Context(context.ids, at, context.n_prompt))
    return found


def _pass(
    lm: LanguageModel, contexts: list[Context], site: Site, tokens: tuple[int, ...], mean: FloatArray, part: float
) -> tuple[FloatArray, FloatArray]:
    """Activations and gradients of the rows in scope, the activations brought to a part of the way from the mean."""
    x, g = [], []
    for context in contexts:
        way = _Way(torch.from_numpy(mean), part, context.n_prompt - 1)
        with torch.enable_grad():
            logits = next_logits(lm, [context], hooks=[(site, way)])
            (slope,) = torch.autograd.grad(log_odds(logits, tokens).sum(), way.shift)
        x.append(way.seen[0, way.first :].double().cpu().numpy())
        g.append(slope[0, way.first :].double().cpu().numpy())
    return np.concatenate(x), np.concatenate(g)


class _Way:
    """Moves the rows from one on towards the mean row, and adds a zero by which one can differentiate there."""

    def __init__(self, mean: Tensor, part: float, first: int) -> None:
        self.mean, self.part, self.first = mean, part, first
        self.seen = self.shift = torch.zeros(0)

    def __call__(self, hidden: Tensor) -> Tensor:
        self.seen, self.shift = hidden.detach(), torch.zeros_like(hidden, requires_grad=True)
        if self.part == 1:
            return hidden + self.shift
        moved = hidden.detach().clone()
        mean = self.mean.to(hidden)
        moved[:, self.first :] = mean + self.part * (moved[:, self.first :] - mean)
        return moved + self.shift
