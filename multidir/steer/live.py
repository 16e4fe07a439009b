"""Edits while they are hooked into a model: the settings on its device, and the count of what was edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multidir.errors import ModelError
from multidir.models.hooks import ResidualFn
from multidir.models.language_model import LanguageModel
from multidir.models.positions import Positions
from multidir.records.scope import Gate
from multidir.records.site import Site
from multidir.steer.operators.base import At
from multidir.steer.scope import met
from multidir.steer.term import LiveTerm
from multidir.types import IntArray

if TYPE_CHECKING:
    from multidir.steer.edit import RowEdits


class LiveRowEdits:
    """The edits of one batch, in batch order; a single row of edits serves a batch of any size."""

    drafted = 0
    """Tokens at the end of the current pass that are guesses to be verified, where that is known."""

    def __init__(
        self,
        edits: RowEdits,
        lm: LanguageModel,
        positions: Positions,
        rows: Sequence[int],
        n_prompt: Sequence[int] | None,
    ) -> None:
        self._edits, self._positions, self._device = edits, positions, lm.device
        # in half precision several steps are computed in float32 and rounded once, so that a projection is one
        self._dtype = lm.dtype if edits.plain else torch.promote_types(lm.dtype, torch.float32)
        self._operators = [term.operator.each(self._to_device) for term in edits.terms]
        self._gates = {
            gate: self._to_device(torch.from_numpy(gate.weights)) for gate in (s.gate for s in edits.scopes) if gate
        }
        self._scores: dict[Gate, tuple[Tensor, Tensor]] = {}
        self._rows: IntArray = np.asarray(rows, dtype=np.int64)
        self._given = None if n_prompt is None else list(n_prompt)
        self._by_prompt = any(scope.part != "all" for scope in edits.scopes)
        self._last: Tensor | None = None
        self._terms: list[LiveTerm] = []
        self._enter(self._rows, self._given)

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else None)

    def _enter(self, rows: IntArray, n_prompt: Sequence[int] | None) -> None:
        """From now on the batch has these edit rows, or one that serves all of it; n_prompt is None until known."""
        self._rows, self._n_prompt = rows, n_prompt
        self._seeds = torch.from_numpy(self._edits.seeds[rows]).to(self._device)
        self._start_count()
        self._idle = all((term.pick[rows] < 0).all() for term in self._edits.terms)
        if n_prompt is not None:
            each = rows if len(rows) == len(n_prompt) else np.repeat(rows, len(n_prompt))
            pairs = zip(self._edits.terms, self._operators, strict=True)
            terms = [LiveTerm(term, operator, each, n_prompt, self._device) for term, operator in pairs]
            self._terms = [term for term in terms if not term.idle]

    def _start_count(self) -> None:
        self._edited = torch.zeros(len(self._rows), dtype=torch.long, device=self._device)
        self._norms = torch.zeros(len(self._rows), dtype=torch.float64, device=self._device)

    def hooks(self) -> list[tuple[Site, ResidualFn]]:
        """What to call where: gates read at earlier sites, then the edit."""
        early = {gate.site for gate in self._gates if gate.site is not None} - {self._edits.site}
        return [*((site, self._reader(site)) for site in sorted(early)), (self._edits.site, self.apply)]

    def _reader(self, site: Site) -> ResidualFn:
        gates = [gate for gate in self._gates if gate.site == site]

        def read(hidden: Tensor) -> None:
            for gate in gates:
                self._scores[gate] = self._positions.current, self._score(gate, hidden)

        return read

    def _score(self, gate: Gate, hidden: Tensor) -> Tensor:
        return hidden.to(self._dtype) @ self._gates[gate] + gate.bias

    def apply(self, hidden: Tensor) -> Tensor | None:
        """The hook: edit (b, t, d) where the current positions are in scope."""
        if self._idle:
            return None
        places = self._places(hidden)
        at = At(self._edits.site, places, self._seeds)
        if self._edits.plain:
            (term,) = self._terms
            inside = term.inside(places)
            self._edited = self._edited + self._per_row(inside)
            return torch.where(inside[..., None], term.operator(hidden, at), hidden)
        arrived = x = hidden.to(self._dtype)
        touched = torch.zeros_like(places, dtype=torch.bool)
        for term in self._terms:
            inside = self._inside(term, places, arrived)
            x = torch.where(inside[..., None], term.operator(x, at), x)
            touched |= inside
        self._edited = self._edited + self._per_row(touched)
        self._norms = self._norms + self._per_row(torch.where(touched, (x - arrived).detach().norm(dim=-1), 0).double())
        return torch.where(touched[..., None], x.to(hidden.dtype), hidden)

    def _inside(self, term: LiveTerm, places: Tensor, arrived: Tensor) -> Tensor:
        """(b, t) where a term acts, every condition of its scopes counted in."""
        inside = term.inside(places)
        for scope, rows in term.conditional.items():
            if scope.by_tokens:
                prompts, tokens = [(self._n_prompt or ())[row] for row in rows], self._positions.tokens[rows]
                inside[rows] &= met(scope, places[rows], tokens, prompts, self._edits.text)
            if scope.gate is not None:
                inside[rows] &= self._scored(scope.gate, places, arrived)[rows] > scope.gate.threshold
        return inside

    def _scored(self, gate: Gate, places: Tensor, arrived: Tensor) -> Tensor:
        if gate.site in (None, self._edits.site):
            return self._score(gate, arrived)
        seen, scores = self._scores.get(gate, (None, arrived))
        if seen is not places:
            raise ModelError(f"the gate at {gate.site} has not read this pass; run the whole model")
        return scores

    def _places(self, hidden: Tensor) -> Tensor:
        """Positions of the pass, after a look whether the batch is the one that was announced."""
        places, fresh = self._positions.current, self._positions.fresh
        if places.shape != hidden.shape[:2] or len(self._rows) not in (1, len(places)):
            raise ModelError(
                f"edits at {self._edits.site} are for {len(self._rows)} rows, but the model runs "
                f"{tuple(hidden.shape[:2])} (batch, tokens) with positions for {tuple(places.shape)}; "
                "run the whole model, one edit row per batch row"
            )
        if self._given is None:
            self._guess(places, fresh)
        elif self._n_prompt is None or len(self._n_prompt) != len(places):
            self._announce(self._given * len(places))
        return places

    def _announce(self, n_prompt: Sequence[int]) -> None:
        self.settle()
        self._enter(self._rows, n_prompt)

    def _guess(self, places: Tensor, fresh: bool) -> None:
        """Take the first pass of a sequence for its prompt; where the scopes depend on it, refuse what may be none."""
        last, tokens = self._last, self._positions.tokens
        goes_on = fresh and last is not None and last.shape[1] < tokens.shape[1] and len(last) == len(tokens)
        again = goes_on and last is not None and torch.equal(tokens[:, : last.shape[1]], last)
        several = not fresh and (self._n_prompt is None or places.shape[1] > 1 + self.drafted)
        if self._by_prompt and (again or several):
            raise ModelError(
                f"the edits at {self._edits.site} depend on where the prompt ends, and this pass of {places.shape[1]} "
                "tokens goes on with earlier ones that need not be all of it; say n_prompt"
            )
        if fresh or self._n_prompt is None:
            self._last = tokens
            self._announce((places.amax(1) + 1 - self.drafted).tolist())

    def _per_row(self, values: Tensor) -> Tensor:
        """Sum of (b, t) for each edit row."""
        return values.sum(1) if len(self._rows) == len(values) else values.sum()

    def keep(self, rows: Tensor) -> None:
        """From now on the batch has only these of its rows, in this order."""
        self.settle()
        index = rows.to("cpu").numpy()
        self._enter(self._rows[index], None if self._n_prompt is None else [self._n_prompt[row] for row in index])

    def join(self, rows: Sequence[int], n_prompt: Sequence[int]) -> None:
        """These edit rows enter at the end of the batch."""
        self.settle()
        both = np.concatenate([self._rows, np.asarray(rows, dtype=np.int64)])
        self._enter(both, [*(self._n_prompt or ()), *n_prompt])

    def settle(self) -> None:
        """Add what was counted to the receipt."""
        norms = self._norms
        if self._edits.plain and not self._idle and self._n_prompt is not None:
            norms = self._edited * self._terms[0].operator.tensors()["vector"].double().norm(dim=-1)
        np.add.at(self._edits.edited, self._rows, self._edited.cpu().numpy())
        np.add.at(self._edits.edit_norm_sum, self._rows, norms.cpu().numpy())
        self._start_count()
