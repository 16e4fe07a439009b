"""Adding directions to the residual stream, every batch row its own mixture, with a receipt.

    x[row, position] += C[row] @ V        where the position is in the row's scope

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
from multidir.models.hooks import residual_hook
from multidir.models.language_model import LanguageModel
from multidir.models.positions import Positions
from multidir.records.intervention import Scope
from multidir.records.site import Site
from multidir.steer.live import LiveRowEdits
from multidir.steer.scope import window
from multidir.types import FloatArray, IntArray


class RowEdits:
    """Additions to the residual stream at one site: which mixture, and where, for each row.

    A row whose coefficients are all zero is left bit-identical: nothing is added to it, not even zero.
    """

    def __init__(self, site: Site, bank: FloatArray, coefficients: FloatArray, scopes: Sequence[Scope] | Scope) -> None:
        """Check everything that can be checked without a model.

        Args:
            site: where.
            bank: (k, d) directions V, usually of norm 1.
            coefficients: (b, k) C, in units of the bank's rows.
            scopes: one per row, or one for all.
        Raises:
            ConfigError: shapes that do not fit, or a value that is not finite.
        """
        self.site = site
        self.bank = np.array(bank, dtype=np.float64)
        self.coefficients = np.array(coefficients, dtype=np.float64)
        _check_arrays(site, self.bank, self.coefficients)
        rows = len(self.coefficients)
        self.scopes: tuple[Scope, ...] = (scopes,) * rows if isinstance(scopes, str) else tuple(scopes)
        if len(self.scopes) != rows:
            raise ConfigError(f"edits at {site}: {rows} rows of coefficients, but {len(self.scopes)} scopes")
        for scope in set(self.scopes):
            window(scope, 1)
        self.edited: IntArray = np.zeros(rows, dtype=np.int64)
        """(b,) receipt: token positions edited so far, per row."""
        self.edit_norm_sum: FloatArray = np.zeros(rows)
        """(b,) receipt: sum of the norms of those edits, per row."""

    def __len__(self) -> int:
        return len(self.coefficients)

    def __repr__(self) -> str:
        return f"RowEdits({self.site}: {len(self)} rows, {len(self.bank)} directions)"

    def mixture(self, dtype: torch.dtype) -> Tensor:
        """(b, d): what each row adds, summed in float64 and rounded once."""
        return torch.as_tensor(self.coefficients @ self.bank).to(dtype)

    def prompt_state(self, row: int, prompt: Sequence[int]) -> tuple[int, Hashable]:
        """From which position on this row's prompt differs from the unsteered one, and what its stream depends on."""
        first, last = window(self.scopes[row], len(prompt))
        if not self.coefficients[row].any() or first >= min(last, len(prompt)):
            return len(prompt), None
        return first, (self.scopes[row], self.coefficients[row].tobytes())

    @contextmanager
    def attach(
        self, lm: LanguageModel, positions: Positions, rows: Sequence[int], n_prompt: Sequence[int] | None
    ) -> Iterator[LiveRowEdits]:
        """Hook the edits of some rows into the model for one batch; batch row i gets the edits of `rows[i]`.

        Args:
            n_prompt: prompt tokens of each row; None to take the first forward pass of a sequence as its prompt.
        Raises:
            ConfigError: a site beyond the model, or directions of another width.
        """
        check_edits(self, lm.model)
        live = LiveRowEdits(self, lm, positions, rows, n_prompt)
        try:
            with residual_hook(lm.model, self.site, live.apply):
                yield live
        finally:
            live.settle()


def check_edits(edits: RowEdits, model: PreTrainedModel) -> None:
    """Refuse edits that do not fit this model, before it runs.

    Raises:
        ConfigError: a site beyond the model, directions of another width, or a sum too large for the model's dtype.
    """
    check_site(model, edits.site)
    if edits.bank.shape[1] != width(model):
        raise ConfigError(
            f"directions at {edits.site} have width {edits.bank.shape[1]}, this model's residual stream has "
            f"{width(model)}; they belong to another model"
        )
    infinite = ~torch.isfinite(edits.mixture(model.dtype)).all(1)
    if infinite.any():
        row = int(infinite.nonzero()[0])
        raise ConfigError(f"row {row} of the edits at {edits.site} is not finite in {model.dtype}; lower the dose")


def _check_arrays(site: Site, bank: FloatArray, coefficients: FloatArray) -> None:
    if bank.ndim != 2 or coefficients.ndim != 2 or coefficients.shape[1] != len(bank):
        raise ConfigError(
            f"edits at {site}: expected directions (k, d) and coefficients (b, k), "
            f"got {bank.shape} and {coefficients.shape}"
        )
    for name, values in (("direction", bank), ("coefficient", coefficients)):
        if not np.isfinite(values).all():
            raise ConfigError(
                f"edits at {site}: a {name} is not finite in row {np.argwhere(~np.isfinite(values))[0][0]}"
            )
    used = np.abs(coefficients).sum(0) > 0
    if (np.linalg.norm(bank, axis=1)[used] == 0).any():
        raise ConfigError(f"edits at {site}: a direction that is used has length zero, so it would change nothing")
