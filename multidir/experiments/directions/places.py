"""Where a behaviour may begin: the rows before every sentence of a reply, and texts asked for what comes next there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multidir.errors import DesignError
from multidir.methods.window_rules import Offsets, windows_of
from multidir.models.forced import Context
from multidir.records.site import Site
from multidir.steer.forced import Forced
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, IntArray, Role


@dataclass(frozen=True, eq=False)
class Places:
    """Windows before the labelled sentences of replies; those that reach into a prompt are left out."""

    rows: IntArray
    """(w, length) rows of the store."""
    before: BoolArray
    """(w,) whether the sentence has the label."""
    trace: IntArray
    """(w,) place of its trace in the store."""

    @classmethod
    def of(cls, store: ActivationStore, annotator: str, label: str, offsets: Offsets) -> Places:
        """All of a store.

        Raises:
            DesignError: no sentence with the label has a window, or every one has the label.
        """
        (windows,) = windows_of(store, annotator, offsets, "reply")
        before = np.array([windows.labels[i] == label for i in windows.label], dtype=bool)
        if not before.any() or before.all():
            where = f"with a window {offsets[0]}..{offsets[1]} within a reply"
            raise DesignError(
                f"{int(before.sum())} of {len(before)} sentences of {annotator} {where} are {label!r}; both kinds are "
                f"needed. There are {', '.join(windows.labels)}; choose another label or window, or label more traces"
            )
        return cls(windows.rows(), before, windows.trace)

    def means(self, store: ActivationStore, role: Role, site: Site) -> FloatArray:
        """(w, d) float64: mean row of every window.

        Raises:
            DesignError: rows that are not finite, counted.
        """
        rows = store.rows(role, site, self.rows.ravel()).reshape(*self.rows.shape, -1)
        found: FloatArray = rows.mean(axis=1, dtype=np.float64)
        bad: BoolArray = np.asarray(~np.isfinite(found).all(axis=1))
        if bad.any():
            raise DesignError(
                f"{int(bad.sum())} of {len(bad)} windows of {role} {site} hold nan or infinities, the first in trace "
                f"{store.traces[self.trace[bad][0]].id}; capture that trace again or leave it out"
            )
        return found


@dataclass(frozen=True, eq=False)
class Questions:
    """Texts, asked at the last token before every labelled sentence of the reply what comes next."""

    contexts: list[Context]
    trace: IntArray
    """(m,) place of the text in the store, for every question."""
    before: BoolArray
    """(m,) whether the sentence has the label."""

    @classmethod
    def of(cls, store: ActivationStore, annotator: str, label: str, texts: int) -> Questions:
        """The texts that hold the label most often, ties in the order of the store.

        Args:
            texts: how many, at most.
        Raises:
            DesignError: as `Places.of`, or no sentence without the label in these texts.
        """
        places = Places.of(store, annotator, label, (-1, -1))
        counts = np.bincount(places.trace[places.before], minlength=store.n_traces)
        chosen = np.argsort(-counts, kind="stable")[:texts]
        chosen = chosen[counts[chosen] > 0]
        contexts, trace, before = [], list[int](), list[bool]()
        for place in sorted(chosen.tolist()):
            info, mine = store.traces[place], places.trace == place
            at = places.rows[mine, 0] - info.row_start
            order = np.argsort(at)
            ids = store.token_ids[info.row_start : info.row_end].tolist()
            contexts.append(Context(tuple(ids), tuple(at[order].tolist()), info.n_prompt))
            trace += [place] * len(at)
            before += places.before[mine][order].tolist()
        found = cls(contexts, np.array(trace), np.array(before))
        if found.before.all():
            raise DesignError(f"every sentence of these {len(contexts)} texts is {label!r}; take more texts")
        return found

    def joined(self, found: Sequence[Forced]) -> tuple[FloatArray, FloatArray]:
        """Log-odds and KL of all texts side by side, (c, m) each."""
        return (
            np.concatenate([each.log_odds for each in found], axis=1),
            np.concatenate([each.kl for each in found], axis=1),
        )
