"""Which rows of a sweep can share the keys and values of a prompt, and from where on each needs its own.

Rows with one prompt share everything before the first position that any of them edits; rows that are
edited alike share the whole prompt. The last token of a prompt is always left to decoding, where
every row runs it with its own edits and gets its first new token from it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from multidir.models.cache import KeyValues
from multidir.models.generation import Edits
from multidir.models.language_model import LanguageModel
from multidir.models.prefill import Piece, prefill

RECEIPTS = ("edited", "edit_norm_sum")


@dataclass(eq=False)
class State:
    """Rows whose residual streams are the same over the whole prompt; the first one stands for all."""

    rows: list[int]
    first: int
    """First position that may differ from the unsteered model."""
    waiting: int = 0
    """Rows that have not entered a batch yet."""
    chunk: KeyValues | None = None
    """Keys and values from the common beginning to the last token but one, while rows wait for them."""
    receipt: list[dict[str, float]] = field(default_factory=list)
    """What the edits of the first row counted in the chunk, for each set of edits: it counts for every row."""


@dataclass(eq=False)
class Group:
    """All rows with one prompt."""

    prompt: tuple[int, ...]
    states: list[State]
    shared: int
    """Tokens of the common beginning."""
    prefix: KeyValues | None = None
    """Its keys and values, while states wait for them."""

    @property
    def filled(self) -> int:
        """Prompt tokens that are run before decoding."""
        return len(self.prompt) - 1


@dataclass(frozen=True, eq=False)
class Job:
    """One row that waits for its turn."""

    row: int
    group: Group
    state: State


def plan(prompts: Sequence[tuple[int, ...]], edits: Sequence[Edits], share: bool = True) -> list[Group]:
    """Groups of rows in order of falling prompt length; without sharing every row is a group of its own."""
    found: dict[Hashable, dict[Hashable, State]] = {}
    for row, prompt in enumerate(prompts):
        states = [edit.prompt_state(row, prompt) for edit in edits]
        first = min((position for position, _ in states), default=len(prompt))
        group = found.setdefault(prompt if share else row, {})
        group.setdefault(tuple(key for _, key in states), State([], first)).rows.append(row)
    groups = [_group(prompts[next(iter(states.values())).rows[0]], list(states.values())) for states in found.values()]
    return sorted(groups, key=lambda group: -len(group.prompt))


def _group(prompt: tuple[int, ...], states: list[State]) -> Group:
    for state in states:
        state.waiting = len(state.rows)
    filled = len(prompt) - 1
    return Group(prompt, states, min(filled, *(state.first for state in states)) if len(states) > 1 else 0)


def fill(lm: LanguageModel, jobs: Sequence[Job], edits: Sequence[Edits]) -> None:
    """Run what is missing of the prompts of these jobs: common beginnings once, then each state's chunk."""
    groups = {id(job.group): job.group for job in jobs if job.group.prefix is None and job.group.shared}
    pieces = [Piece(group.prompt[: group.shared], 0, ()) for group in groups.values()]
    for group, found in zip(groups.values(), prefill(lm, pieces), strict=True):
        group.prefix = found
    lacking = {id(job.state): job for job in jobs if job.state.chunk is None}
    _fill_chunks(lm, [job for job in lacking.values() if job.group.shared < job.group.filled], edits)


def _fill_chunks(lm: LanguageModel, jobs: Sequence[Job], edits: Sequence[Edits]) -> None:
    first_rows = [job.state.rows[0] for job in jobs]
    before = [{name: getattr(edit, name)[first_rows].copy() for name in RECEIPTS} for edit in edits]
    pieces = [
        Piece(
            job.group.prompt[:-1],
            job.group.shared,
            (job.group.prefix,) if job.group.prefix is not None else (),
            job.state.rows[0],
            len(job.group.prompt),
        )
        for job in jobs
    ]
    for job, found in zip(jobs, prefill(lm, pieces, edits), strict=True):
        job.state.chunk, job.state.receipt = found, []
    for edit, old in zip(edits, before, strict=True):
        for place, job in enumerate(jobs):
            row = job.state.rows[0]
            counted = {name: getattr(edit, name)[row] - old[name][place] for name in RECEIPTS}
            job.state.receipt.append(counted)
            for name in RECEIPTS:
                getattr(edit, name)[row] = old[name][place]


def count_prompt(job: Job, edits: Sequence[Edits]) -> None:
    """A row enters: its receipt gets what was edited in its prompt, whichever row's pass that was."""
    for edit, counted in zip(edits, job.state.receipt, strict=False):
        for name in RECEIPTS:
            getattr(edit, name)[job.row] += counted[name]
    job.state.waiting -= 1
    if not job.state.waiting:
        job.state.chunk = None
    if not any(state.waiting for state in job.group.states):
        job.group.prefix = None


def start_again(job: Job, edits: Sequence[Edits]) -> None:
    """A row goes back to those that wait, as if it had never entered."""
    for edit in edits:
        for name in RECEIPTS:
            getattr(edit, name)[job.row] = 0
    job.state.waiting += 1
