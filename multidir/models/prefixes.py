"""Where the keys and values of a prompt are kept while rows are continued: with each row, or once for many.

Kept once they save memory and the reading of it at every step; the attention over two parts costs a few small
operations more. So a batch shares only where many tokens are saved, and where the model's attention allows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from multidir.models.cache import KeyValues
from multidir.models.language_model import LanguageModel
from multidir.models.row_attention import RowAttention, is_plain
from multidir.models.sharing import Group, Job, State

WORTH = 64
"""Prompt tokens that a row saves on average, from which on the common prefix is kept once."""


class Prefixes:
    """The common prefixes of the rows in a batch."""

    def __init__(self, lm: LanguageModel, groups: Sequence[Group], replayed: bool = False) -> None:
        """Decide once for all rows of a run; steps that are replayed need the attention of our own."""
        self._lm = lm
        rows = sum(len(state.rows) for group in groups for state in group.states)
        saved = sum(max(_saved(group)) for group in groups)
        self._shared = rows > 0 and saved >= WORTH * rows and is_plain(lm.model)
        # On a CPU it is faster than the attention of torch also where nothing is shared.
        own = (replayed or lm.device.type == "cpu") and is_plain(lm.model)
        self.attention = RowAttention() if self._shared or own else None
        self.longest_own = max((self._n_own(group) for group in groups), default=0)
        self._held: dict[int, KeyValues] = {}

    def _n_own(self, group: Group) -> int:
        """Tokens of a prompt that every row keeps for itself."""
        if not self._shared:
            return group.filled
        return 0 if _by_state(group) else group.filled - group.shared

    def own(self, job: Job) -> tuple[tuple[KeyValues, ...], int]:
        """What a row brings into the cache, and how many tokens that is."""
        n_own = self._n_own(job.group)
        if not self._shared:
            return _stretches(job), n_own
        return _stretches(job)[-1:] if n_own else (), n_own

    def assign(self, jobs: Sequence[Job]) -> None:
        """Say which rows the batch has now, in order; prefixes are let go once most of them are not used any more."""
        if self.attention is None or not self._shared:
            return
        used = {id(_owner(job)): job for job in jobs}
        if not used.keys() <= self._held.keys() or len(self._held) > 2 * len(used):
            self._hold({key: self._held.get(key) or _prefix(job) for key, job in used.items()})
        places = {key: place for place, key in enumerate(self._held)}
        self.attention.assign([places[id(_owner(job))] for job in jobs], self._lm.device)

    def _hold(self, prefixes: dict[int, KeyValues]) -> None:
        assert self.attention is not None
        self._held = dict(zip(prefixes, self.attention.hold(list(prefixes.values()), self._lm.device), strict=True))

    def clear(self) -> None:
        """Let all go."""
        self._held = {}
        if self.attention is not None:
            self.attention.clear()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Attend to common prefixes inside the `with`."""
        if self.attention is None:
            yield
            return
        with self.attention.used_by(self._lm.model):
            yield


def _saved(group: Group) -> tuple[int, int]:
    """Prompt tokens saved over all rows by sharing what all have in common, or what each state's rows have."""
    rows = sum(len(state.rows) for state in group.states)
    return group.shared * (rows - 1), group.filled * (rows - len(group.states))


def _by_state(group: Group) -> bool:
    """Whether the prefix that is kept once belongs to a state; otherwise to the whole group."""
    by_group, by_state = _saved(group)
    return by_state > by_group or not group.shared


def _owner(job: Job) -> Group | State:
    return job.state if _by_state(job.group) else job.group


def _stretches(job: Job) -> tuple[KeyValues, ...]:
    return tuple(part for part in (job.group.prefix, job.state.chunk) if part is not None)


def _prefix(job: Job) -> KeyValues:
    """Keys and values of the prefix that a row shares with others."""
    parts = _stretches(job) if _by_state(job.group) else _stretches(job)[:1]
    if len(parts) < 2:
        return parts[0] if parts else ()
    return [(torch.cat(keys, 1), torch.cat(values, 1)) for keys, values in _by_block(parts)]


def _by_block(parts: Sequence[KeyValues]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    for blocks in zip(*parts, strict=True):
        yield [keys for keys, _ in blocks], [values for _, values in blocks]
