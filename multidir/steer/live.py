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
from multidir.records.site import Site
from multidir.steer.gates import LiveGates
from multidir.steer.operators.base import At
from multidir.steer.prompts import PromptEnds
from multidir.steer.scope import met
from multidir.steer.term import LiveTerm
from multidir.types import IntArray

if TYPE_CHECKING:
    from multidir.steer.edit import RowEdits


class LiveRowEdits:
    """The edits of one batch, in batch order; a single row of edits serves a batch of any size."""

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
        self._operators = edits.operators(self._device, self._dtype)
        gates = {scope.gate for scope in edits.scopes if scope.gate is not None}
        self._gates = LiveGates(gates, edits.site, positions, self._device, self._dtype)
        self.prompts = PromptEnds(n_prompt, matter=any(scope.part != "all" for scope in edits.scopes))
        self._enter(np.asarray(rows, dtype=np.int64))

    def _enter(self, rows: IntArray) -> None:
        """From now on the batch has these edit rows, or one that serves all of it."""
        self._rows, lengths = rows, self.prompts.lengths or []
        self._seeds = torch.from_numpy(self._edits.seeds[rows]).to(self._device)
        self._start_count()
        self._idle = all((term.pick[rows] < 0).all() for term in self._edits.terms)
        each = rows if len(rows) == len(lengths) else np.repeat(rows, len(lengths))
        pairs = zip(self._edits.terms, self._operators, strict=True)
        terms = [LiveTerm(term, operator, each, lengths, self._device) for term, operator in pairs if lengths]
        self._terms = [term for term in terms if not term.idle]

    def _start_count(self) -> None:
        with torch.inference_mode(False):  # added to in place, whatever mode a pass runs in
            self._edited = torch.zeros(len(self._rows), dtype=torch.long, device=self._device)
            self._norms = torch.zeros(len(self._rows), dtype=torch.float64, device=self._device)

    def hooks(self) -> list[tuple[Site, ResidualFn]]:
        """What to call where: gates that read at earlier sites, then the edit."""
        return [*self._gates.hooks(), (self._edits.site, self.apply)]

    def apply(self, hidden: Tensor) -> Tensor | None:
        """The hook: edit (b, t, d) where the current positions are in scope."""
        if self._idle:
            return None
        places = self._places(hidden)
        at = At(self._edits.site, places, self._seeds)
        if self._edits.plain:
            (term,) = self._terms
            inside = term.inside(places)
            self._edited += self._per_row(inside)
            return torch.where(inside[..., None], term.operator(hidden, at), hidden)
        arrived = x = hidden.to(self._dtype)
        touched = torch.zeros_like(places, dtype=torch.bool)
        for term in self._terms:
            inside = self._inside(term, places, arrived)
            x = torch.where(inside[..., None], term.operator(x, at), x)
            touched |= inside
        self._edited += self._per_row(touched)
        self._norms += self._per_row(torch.where(touched, (x - arrived).detach().norm(dim=-1), 0).double())
        return torch.where(touched[..., None], x.to(hidden.dtype), hidden)

    def _inside(self, term: LiveTerm, places: Tensor, arrived: Tensor) -> Tensor:
        """(b, t) where a term acts, every condition of its scopes counted in."""
        inside, lengths = term.inside(places), self.prompts.lengths or []
        for scope, rows in term.conditional.items():
            if scope.by_tokens:
                tokens, prompts = self._positions.tokens[rows], [lengths[row] for row in rows]
                inside[rows] &= met(scope, places[rows], tokens, prompts, self._edits.text)
            if scope.gate is not None:
                inside[rows] &= self._gates.open(scope.gate, arrived)[rows]
        return inside

    def _places(self, hidden: Tensor) -> Tensor:
        """Positions of the pass, after a look whether the batch is the one that was announced."""
        places = self._positions.current
        if places.shape != hidden.shape[:2] or len(self._rows) not in (1, len(places)):
            raise ModelError(
                f"edits at {self._edits.site} are for {len(self._rows)} rows, but the model runs "
                f"{tuple(hidden.shape[:2])} (batch, tokens) with positions for {tuple(places.shape)}; "
                "run the whole model, one edit row per batch row"
            )
        if self.prompts.see(self._positions):
            self.settle()
            self._enter(self._rows)
        return places

    def _per_row(self, values: Tensor) -> Tensor:
        """Sum of (b, t) for each edit row."""
        return values.sum(1) if len(self._rows) == len(values) else values.sum()

    def settle(self) -> None:
        """Add what was counted to the receipt."""
        norms = self._norms
        if self._edits.plain and self._terms:
            norms = self._edited * self._terms[0].operator.tensors()["vector"].double().norm(dim=-1)
        np.add.at(self._edits.edited, self._rows, self._edited.cpu().numpy())
        np.add.at(self._edits.edit_norm_sum, self._rows, norms.cpu().numpy())
        self._start_count()
