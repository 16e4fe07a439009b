"""Editing the residual stream at one site, every batch row in its own way, with a receipt.

    x[row, position] = op_m(... op_1(x[row, position]))        each where the position is in its scope for the row

Positions are absolute, so that prefill, decoding, chunked prefill and a reused cache mean the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from multidir.errors import ConfigError
from multidir.models.blocks import check_site, width
from multidir.models.hooks import residual_hooks
from multidir.models.language_model import LanguageModel
from multidir.models.positions import Positions
from multidir.records.site import Site
from multidir.steer.live import LiveRowEdits
from multidir.steer.operators.add import Add
from multidir.steer.operators.base import Operator
from multidir.steer.term import Term
from multidir.steer.token_text import TokenText
from multidir.types import FloatArray, IntArray


class RowEdits:
    """Edits of the residual stream at one site: which operators, how much, and where, for each row.

    A row to which nothing is done is left bit-identical: nothing is added to it, not even zero.
    """

    def __init__(
        self, site: Site, terms: Sequence[Term], seeds: Sequence[int] | None = None, text: TokenText | None = None
    ) -> None:
        """Check everything that can be checked without a model.

        Args:
            site: where.
            terms: what, for the same rows each; the first is done first.
            seeds: of the rows, for operators that draw.
            text: of the vocabulary, for scopes that depend on what tokens write.
        Raises:
            ConfigError: terms for different rows, noise without seeds, or such a scope without the text.
        """
        self.site, self.terms, self.text = site, tuple(terms), text
        sizes = {len(array) for term in self.terms for array in (term.pick, term.scopes)}
        if len(sizes) != 1:
            raise ConfigError(f"edits at {site} need terms for the same number of rows, got {sorted(sizes)}")
        rows = sizes.pop()
        if seeds is None and any(term.operator.draws for term in self.terms):
            raise ConfigError(f"edits at {site} draw noise; give a seed for each of the {rows} rows")
        if seeds is not None and len(seeds) != rows:
            raise ConfigError(f"edits at {site}: {rows} rows, but {len(seeds)} seeds")
        self.scopes = frozenset(scope for term in self.terms for scope in term.used_scopes())
        """Of the rows to which something is done."""
        self.replayable = not any(scope.conditional for scope in self.scopes)
        """True when what is done depends on positions alone, all of it on the device."""
        alone = len(self.terms) == 1 and isinstance(self.terms[0].operator, Add)
        self.plain = alone and self.replayable
        """True when all that is done is one addition per row, at positions that are known beforehand."""
        if text is None and any(scope.by_tokens for scope in self.scopes):
            raise ConfigError(f"edits at {site}: a scope depends on what tokens write; give the tokenizer's text")
        self.seeds: IntArray = np.zeros(rows, np.int64) if seeds is None else np.array(seeds, dtype=np.int64)
        self.edited: IntArray = np.zeros(rows, dtype=np.int64)
        """(b,) receipt: token positions edited so far, per row."""
        self.edit_norm_sum: FloatArray = np.zeros(rows)
        """(b,) receipt: sum of the norms of those edits, per row."""
        self._placed: dict[tuple[torch.device, torch.dtype], list[Operator]] = {}
        self._too_large: dict[torch.dtype, int | None] = {}

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        names = ", ".join(type(term.operator).__name__.lower() for term in self.terms)
        return f"RowEdits({self.site}: {len(self)} rows, {names})"

    def operators(self, device: torch.device, dtype: torch.dtype) -> list[Operator]:
        """The operator of each term on a device, copied there once."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        if (device, dtype) not in self._placed:
            self._placed[device, dtype] = [term.operator.each(moved) for term in self.terms]
        return self._placed[device, dtype]

    def too_large(self, dtype: torch.dtype) -> int | None:
        """The first row whose setting a number format cannot hold, if any; looked for once."""
        if dtype not in self._too_large:
            bad = [np.append(term.operator.not_finite(dtype), False)[term.pick] for term in self.terms]
            rows = np.flatnonzero(np.any(bad, axis=0))
            self._too_large[dtype] = int(rows[0]) if len(rows) else None
        return self._too_large[dtype]

    def expected(self, row: int, ids: Sequence[int], n_prompt: int) -> tuple[int, int]:
        """How many positions of a sequence must be edited in a row, and how many may be where gates open.

        Args:
            ids: the tokens that have been run.
        """
        must, may = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
        for term in self.terms:
            reach = term.reach(row, ids, n_prompt, self.text)
            may |= reach
            must |= reach & (term.scopes[row].gate is None)
        return int(must.sum()), int(may.sum())

    def first_edited(self, row: int, ids: Sequence[int], n_prompt: int) -> int:
        """First position of a sequence that this row may change; its length if there is none.

        Raises:
            ConfigError: a scope that selects nothing after this prompt.
        """
        reached = [term.reach(row, ids, n_prompt, self.text) for term in self.terms]
        return min((int(reach.argmax()) for reach in reached if reach.any()), default=len(ids))

    def prompt_state(self, row: int, prompt: Sequence[int]) -> tuple[int, Hashable]:
        """From which position on this row's prompt may differ from the unsteered one, and what its stream depends on.

        Returns:
            First absolute position of the prompt whose residual stream this row may change (the length of the
            prompt if none), and a key: rows with the same prompt and an equal key have identical streams over the
            whole prompt. A gate or noise counts as a change.
        Raises:
            ConfigError: a scope that selects nothing after this prompt.
        """
        key = []
        for index, term in enumerate(self.terms):
            reach = term.reach(row, prompt, len(prompt), self.text)
            if reach.any():
                seed = int(self.seeds[row]) if term.operator.draws else None
                key.append((index, int(term.pick[row]), reach.tobytes(), term.scopes[row].gate, seed))
        return self.first_edited(row, prompt, len(prompt)), tuple(key)

    @contextmanager
    def attach(
        self, lm: LanguageModel, positions: Positions, rows: Sequence[int], n_prompt: Sequence[int] | None
    ) -> Iterator[LiveRowEdits]:
        """Hook the edits of some rows into the model for one batch; batch row i gets the edits of `rows[i]`.

        Args:
            n_prompt: prompt tokens of each row; None to take the first forward pass of a sequence as its prompt.
        Raises:
            ConfigError: a site beyond the model, directions of another width, or a scope that selects nothing.
        """
        check_edits(self, lm.model)
        live = LiveRowEdits(self, lm, positions, rows, n_prompt)
        try:
            with residual_hooks(lm.model, live.hooks()):
                yield live
        finally:
            live.settle()


def check_edits(edits: RowEdits, model: PreTrainedModel) -> None:
    """Refuse edits that do not fit this model, before it runs.

    Raises:
        ConfigError: a site beyond the model, arrays of another width, or values too large for the model's dtype.
    """
    check_site(model, edits.site)
    d = width(model)
    for scope in edits.scopes:
        if scope.gate is not None and (len(scope.gate.weights) != d or (scope.gate.site or edits.site) > edits.site):
            raise ConfigError(
                f"the gate of the edits at {edits.site} reads width {len(scope.gate.weights)} at "
                f"{scope.gate.site or edits.site}; this model's width is {d}, and a gate stands at or before the edit"
            )
    for term in edits.terms:
        if term.operator.d not in (None, d):
            raise ConfigError(
                f"directions at {edits.site} have width {term.operator.d}, this model's residual stream has {d}; "
                "they belong to another model"
            )
    row = edits.too_large(model.dtype)
    if row is not None:
        raise ConfigError(f"row {row} of the edits at {edits.site} is not finite in {model.dtype}; lower the dose")
