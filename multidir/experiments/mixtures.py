"""Learned mixtures of directions: which weighting moves the behaviour's tokens most for how far it moves the rest?

    maximise  sign * mean log-odds(sites) - price * mean KL(elsewhere) - sparsity * |w|_1,     vector = sum_j w_j u_j

over weights w of unit directions u_j at one site of the residual stream, with the model frozen, by gradient through
texts that are already written. Sites are the positions that make the first token of a sentence of the behaviour,
elsewhere are those of all other sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.experiments.score import BACKTRACKING
from multidir.linalg.basis import random_units
from multidir.models.forced import Context, next_logits
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import kl_divergence, log_odds
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.types import BoolArray, FloatArray

MOST = 64
"""Directions that are mixed at most."""


@dataclass(frozen=True)
class Texts:
    """Written texts, the positions that are asked in each, and which of these are sites of the behaviour."""

    contexts: tuple[Context, ...]
    sites: tuple[BoolArray, ...]
    prompts: tuple[str, ...]

    def batches(self, tokens: int) -> Iterator[tuple[list[Context], BoolArray]]:
        """Contexts that are run together, with the sites among their asked positions."""
        order = sorted(range(len(self.contexts)), key=lambda i: len(self.contexts[i].read))
        while order:
            size = max(1, tokens // len(self.contexts[order[-1]].read))
            chosen, order = order[-size:], order[:-size]
            yield [self.contexts[i] for i in chosen], np.concatenate([self.sites[i] for i in chosen])


def texts_of(traces: Sequence[Trace], sentences: Sequence[Sentence], label: str = BACKTRACKING) -> Texts:
    """Where each sentence begins, and whether it is of the behaviour.

    Raises:
        DesignError: no sentence of the behaviour, or no other one.
    """
    starts: dict[str, dict[int, bool]] = {trace.id: {} for trace in traces}
    for sentence in sentences:
        if sentence.trace_id in starts:
            starts[sentence.trace_id][sentence.token_start - 1] = sentence.label == label
    kept = [(t, at) for t in traces if (at := dict(sorted(starts[t.id].items())))]
    contexts = tuple(Context(trace.token_ids, tuple(at), trace.n_prompt) for trace, at in kept)
    sites = tuple(np.array(list(at.values()), dtype=bool) for _, at in kept)
    n, total = sum(int(s.sum()) for s in sites), sum(len(s) for s in sites)
    if not 0 < n < total:
        raise DesignError(
            f"{n} of {total} sentences are {label!r}; a mixture needs some of it and some of the rest: give more traces"
        )
    return Texts(contexts, sites, tuple(trace.prompt_id for trace, _ in kept))


@dataclass(frozen=True)
class Objective:
    """What is maximised."""

    tokens: tuple[int, ...]
    """With which a sentence of the behaviour begins."""
    price: float
    """Log-odds that a nat of divergence elsewhere costs."""
    suppress: bool = False
    """Make the behaviour rarer instead."""

    @property
    def sign(self) -> float:
        """Of the log-odds."""
        return -1.0 if self.suppress else 1.0


class Learner:
    """A frozen model with texts: the objective and its gradient by a vector that is added everywhere at one site."""

    def __init__(self, lm: LanguageModel, texts: Texts, site: Site, objective: Objective, batch_tokens: int) -> None:
        self.lm, self.site, self.objective = lm, site, objective
        self._batches = list(texts.batches(batch_tokens))
        n, total = sum(int(s.sum()) for _, s in self._batches), sum(s.size for _, s in self._batches)
        self._shares = 1 / n, 1 / (total - n)
        with torch.no_grad():
            self._plain = [next_logits(lm, contexts).float().log_softmax(-1) for contexts, _ in self._batches]

    def value(self, vector: Tensor) -> tuple[float, Tensor]:
        """The objective at a vector (d,), and its gradient."""
        x = vector.detach().to(self.lm.device).requires_grad_()
        total, gradient = 0.0, torch.zeros_like(x)
        for (contexts, sites), plain in zip(self._batches, self._plain, strict=True):
            hooks = [(self.site, lambda hidden: hidden + x.to(hidden.dtype))]
            with torch.enable_grad():
                logits = next_logits(self.lm, contexts, hooks=hooks)
                here = torch.as_tensor(sites, device=logits.device)
                odds = log_odds(logits[here], self.objective.tokens).sum() * self._shares[0]
                kl = kl_divergence(logits[~here].float().log_softmax(-1), plain[~here]).sum() * self._shares[1]
                part = self.objective.sign * odds - self.objective.price * kl
                gradient += torch.autograd.grad(part, x)[0]
            total += float(part.detach())
        return total, gradient

    def mix(self, units: FloatArray, scale: float, sparsity: float, steps: int, rate: float) -> FloatArray:
        """Weights (k,) of unit vectors (k, d), in units of `scale`, by proximal Adam from nothing.

        Args:
            units: What is mixed; the identity of the residual stream for a free vector.
            scale: Length that a weight of 1 has in the residual stream.
            sparsity: Price of |w|_1; above 0 some weights are exactly 0.
            steps: Gradient steps.
            rate: Of learning, in weights.
        """
        rows = torch.as_tensor(units, dtype=torch.float32, device=self.lm.device) * scale
        w, m, v = (torch.zeros(len(rows), device=rows.device) for _ in range(3))
        best, found = -float("inf"), w
        for step in range(1, steps + 1):
            value, gradient = self.value(w @ rows)
            value -= sparsity * float(w.abs().sum())
            if value > best:
                best, found = value, w.clone()
            slope = rows @ gradient
            m, v = 0.9 * m + 0.1 * slope, 0.99 * v + 0.01 * slope**2
            size = rate / ((v / (1 - 0.99**step)).sqrt().max() + 1e-12)  # one rate for all: L1 stays exact
            w = w + size * m / (1 - 0.9**step)
            w = w.sign() * (w.abs() - size * sparsity).clamp(min=0)
        return found.double().cpu().numpy()

    def readout(self, d: int) -> FloatArray:
        """(d,) gradient of the objective at the unsteered model: the best linear read-out."""
        return self.value(torch.zeros(d))[1].double().cpu().numpy()


def contenders(
    learner: Learner,
    directions: DirectionSet,
    scale: float,
    sparsities: Sequence[float],
    steps: int,
    rate: float,
    seed: int,
) -> dict[str, FloatArray]:
    """Every vector that is compared, by name, each (d,): learned mixtures first, then what they must beat.

    Raises:
        DesignError: directions of several sites, too many, or nothing was learned.
    """
    units: FloatArray = directions.matrix()
    lengths = np.array([item.length for item in directions])
    if len(directions) > MOST or len({item.site for item in directions}) > 1:
        raise DesignError(f"a mixture is of at most {MOST} directions at one site, got {len(directions)}")
    weights = {f"mixture, L1 {s:g}" if s else "mixture": learner.mix(units, scale, s, steps, rate) for s in sparsities}
    found: dict[str, FloatArray] = {name: np.asarray(w @ units) for name, w in weights.items() if w.any()}
    if not found:
        raise DesignError(
            "no mixture does better than none at this price and sparsity; lower --kl-price or --sparsities"
        )
    sign = learner.objective.sign
    inside = np.linalg.lstsq(units.T, learner.readout(directions.d), rcond=None)[0] @ units
    rng = np.random.default_rng(seed)
    found |= {f"single {item.name}": sign * item.unit for item in directions}
    found |= {
        "sum": np.asarray(sign * lengths @ units),
        "mean": np.asarray(sign * units.sum(axis=0)),
        "first component": sign * _first_component(units),
        "linear read-out": np.asarray(inside),
        "random mixture": np.asarray(rng.standard_normal(len(units)) @ units),
        "random vector": random_units(1, directions.d, rng)[0],
        "free vector": learner.mix(np.eye(directions.d), scale, 0.0, steps, rate),
    }
    return {name: vector for name, vector in found.items() if np.linalg.norm(vector) > 0}


def _first_component(units: FloatArray) -> FloatArray:
    """The unit vector that all directions have most of, pointing as their mean does."""
    first = np.linalg.svd(units)[2][0]
    return np.asarray(first if first @ units.sum(axis=0) >= 0 else -first)


def as_directions(vectors: dict[str, FloatArray], site: Site) -> list[Direction]:
    """Contenders as directions."""
    return [Direction.from_vector(name, vector, site, "mixture") for name, vector in vectors.items()]
