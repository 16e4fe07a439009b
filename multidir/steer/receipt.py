"""Receipts: was edited what should have been, and nothing else?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multidir.errors import ModelError
from multidir.steer.edit import RowEdits
from multidir.types import FloatArray, IntArray


def check_row(edits: Sequence[RowEdits], row: int, ids: Sequence[int], n_prompt: int) -> None:
    """Compare what was edited in a row with what should have been.

    Args:
        edits: at all sites.
        row: which.
        ids: the tokens that were run; the last one of a generation never is, so it has no residual stream to edit.
        n_prompt: how many of them are the prompt.
    Raises:
        ModelError: an edit missed a position, touched one too many, or was not finite.
    """
    for edit in edits:
        least, most = edit.expected(row, ids, n_prompt)
        if not least <= edit.edited[row] <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise ModelError(
                f"row {row}: the edit at {edit.site} reached {edit.edited[row]} token positions, expected "
                f"{expected}; the steering did not do what was asked, so the result is not usable"
            )
        _check_finite(edit, row)


def check_fired(edits: Sequence[RowEdits]) -> None:
    """Refuse edits that did nothing although no condition was put on them, whatever the model was made to run.

    Raises:
        ModelError: a row without any edited position, or an edit that was not finite.
    """
    for edit in edits:
        _check_finite(edit)
        asked = np.zeros(len(edit), dtype=bool)
        for term in edit.terms:
            asked |= (term.pick >= 0) & np.array([not scope.conditional for scope in term.scopes])
        idle = np.flatnonzero(asked & (edit.edited == 0))
        if len(idle):
            scopes = ", ".join(sorted({str(term.scopes[idle[0]]) for term in edit.terms if term.pick[idle[0]] >= 0}))
            raise ModelError(
                f"row {idle[0]}: nothing was edited at {edit.site}; either this model did not run, or it ran no "
                f"position in scope ({scopes})"
            )


def mean_edit_norms(edits: Sequence[RowEdits]) -> FloatArray:
    """(b,) mean norm of the edits of each row over all its edited positions and sites, nan in a row without any."""
    edited: IntArray = np.sum([edit.edited for edit in edits], axis=0)
    norms: FloatArray = np.sum([edit.edit_norm_sum for edit in edits], axis=0) / np.where(edited > 0, edited, np.nan)
    return norms


def _check_finite(edit: RowEdits, row: int | slice = slice(None)) -> None:
    bad = np.flatnonzero(~np.isfinite(edit.edit_norm_sum[row]))
    if len(bad):
        named = bad[0] if isinstance(row, slice) else row
        raise ModelError(f"row {named}: an edit at {edit.site} was not finite; lower the dose, or compute in float32")
