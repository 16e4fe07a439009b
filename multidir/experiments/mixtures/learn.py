"""Learned mixtures of directions: which weighting moves the behaviour's tokens most for how far it moves the rest?

    maximise  sign * mean log-odds(sites) - price * mean KL(elsewhere) - sparsity * sum_g |w_g|,   v = sum_j w_j u_j
    as long as the 95th percentile of KL(elsewhere) is within a budget

over weights w of unit directions u_j, with the model frozen, by gradient through texts that are already written. Sites
are the positions that make the first token of a sentence of the behaviour, elsewhere are those of all other sentences.
A group g is one weight, or the weights that one direction has at several sites: then the price is a group lasso.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.experiments.mixtures.bank import Bank, Space
from multidir.experiments.score import BACKTRACKING
from multidir.models.forced import Context, next_logits
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import kl_divergence, log_odds
from multidir.records.text import Sentence, Trace
from multidir.types import BoolArray, FloatArray

PROBE = 0.02
"""Length, in mean residual norms, of the push by which the curvature of the divergence is measured."""


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
    budget: float
    """Most that the 95th percentile of the divergence elsewhere may be, in nats."""
    suppress: bool = False
    """Make the behaviour rarer instead."""

    @property
    def sign(self) -> float:
        """Of the log-odds."""
        return -1.0 if self.suppress else 1.0


@dataclass(frozen=True, eq=False)
class Step:
    """The objective at one vector."""

    value: float
    gradient: Tensor
    """(s d,) by the vector."""
    p95: float
    """Of the divergence elsewhere, in nats."""


class Learner:
    """A frozen model with texts: the objective and its gradient by a vector of the space."""

    def __init__(self, lm: LanguageModel, texts: Texts, space: Space, objective: Objective, batch_tokens: int) -> None:
        self.lm, self.space, self.objective = lm, space, objective
        self._batches = list(texts.batches(batch_tokens))
        n, total = sum(int(s.sum()) for _, s in self._batches), sum(s.size for _, s in self._batches)
        self._shares = 1 / n, 1 / (total - n)
        with torch.no_grad():
            self._plain = [next_logits(lm, contexts).float().log_softmax(-1) for contexts, _ in self._batches]

    def value(self, vector: Tensor, gain: float | None = None, price: float | None = None) -> Step:
        """The objective at a vector (s d,), and its gradient.

        Args:
            vector: In mean residual norms.
            gain: Weight of the log-odds; the objective's sign unless given.
            price: Of the divergence; the objective's unless given.
        """
        gain = self.objective.sign if gain is None else gain
        price = self.objective.price if price is None else price
        x = vector.detach().float().to(self.lm.device).requires_grad_()
        total, gradient, moved = 0.0, torch.zeros_like(x), []
        for (contexts, sites), plain in zip(self._batches, self._plain, strict=True):
            with torch.enable_grad():
                logits = next_logits(self.lm, contexts, hooks=self.space.hooks(x, contexts))
                here = torch.as_tensor(sites, device=logits.device)
                odds = log_odds(logits[here], self.objective.tokens).sum() * self._shares[0]
                kl = kl_divergence(logits[~here].float().log_softmax(-1), plain[~here])
                part = gain * odds - price * kl.sum() * self._shares[1]
                gradient += torch.autograd.grad(part, x)[0]
            total += float(part.detach())
            moved.append(kl.detach())
        return Step(total, gradient, float(torch.cat(moved).quantile(0.95)))

    def mix(
        self, bank: Bank, steps: int, rate: float, sparsity: float = 0.0, start: FloatArray | None = None
    ) -> FloatArray:
        """Weights (k,) within the budget, by proximal gradient steps that are kept only where they are better.

        A step that leaves the budget is tried again closer to nothing; one that does worse, at half the rate.

        Args:
            bank: What is mixed; that of a whole space for a free vector.
            steps: Passes over the texts.
            rate: Of the first step, in the weight that it changes most.
            sparsity: Price of sum |w_g|; above 0 some groups are exactly 0.
            start: Weights to begin with; none unless given.
        """
        rows = torch.as_tensor(bank.rows, dtype=torch.float32, device=self.lm.device)
        groups = torch.as_tensor(bank.groups, device=rows.device)
        found = torch.zeros(len(rows), device=rows.device)
        w = found if start is None else torch.as_tensor(start, dtype=torch.float32, device=rows.device)
        best, slope = -float("inf"), torch.zeros_like(found)
        for _ in range(steps):
            now = self.value(w @ rows)
            value = now.value - sparsity * float(_lengths(w, groups).sum())
            if now.p95 > self.objective.budget:
                w = w * 0.98 * (self.objective.budget / now.p95) ** 0.5
                continue
            if value > best:
                best, found, slope, rate = value, w, rows @ now.gradient, rate * 1.5
            else:
                rate /= 3
            size = rate / (float(slope.abs().max()) + 1e-12)
            w = _shrunk(found + size * slope, groups, size * sparsity)
        return found.double().cpu().numpy()

    def readout(self) -> FloatArray:
        """(s d,) gradient of the signed log-odds at the unsteered model: the best linear read-out of all."""
        return self.value(self._zero(), price=0.0).gradient.double().cpu().numpy()

    def curvature(self, bank: Bank) -> FloatArray:
        """(k, k) curvature of the mean divergence elsewhere in the weights, by differences of its gradient.

        KL(w) = w^T H w / 2 for small w
        """
        rows = torch.as_tensor(bank.rows, dtype=torch.float32, device=self.lm.device)
        slopes = [rows @ -self.value(PROBE * row, 0.0, 1.0).gradient / PROBE for row in rows]
        h: FloatArray = torch.stack(slopes).double().cpu().numpy()
        return (h + h.T) / 2

    def dearest(self, bank: Bank) -> float:
        """The price of a used direction from which on none is used."""
        slope = bank.rows @ self.readout()
        return float(_lengths(torch.as_tensor(slope), torch.as_tensor(bank.groups)).max())

    def _zero(self) -> Tensor:
        return torch.zeros(self.space.size)


def _lengths(w: Tensor, groups: Tensor) -> Tensor:
    """(g,) lengths of the groups of weights."""
    sums = torch.zeros(int(groups.max()) + 1, dtype=w.dtype, device=w.device)
    return sums.index_add(0, groups, w**2).sqrt()


def _shrunk(w: Tensor, groups: Tensor, by: float) -> Tensor:
    """Every group shorter by so much, those that are not as long gone."""
    if not by:
        return w
    lengths = _lengths(w, groups)
    return w * ((lengths - by).clamp(min=0) / lengths.clamp(min=1e-12))[groups]
