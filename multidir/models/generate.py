"""Generating many rows: rows that end leave the batch and others enter, each with its own seed and its own edits.

In float32 a row's tokens depend on its prompt, seed and edits alone, not on what else is in the batch, on the
size of the batch, or on whether the beginning of its prompt was run for it or for another row with the same one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from multidir.errors import ConfigError, ModelError
from multidir.models.batch import Batch, Entrant
from multidir.models.capture import check_sequences
from multidir.models.device import step_recorder
from multidir.models.first_step import FirstStep
from multidir.models.generation import Edits, Generation
from multidir.models.language_model import LanguageModel
from multidir.models.memory import is_out_of_memory, release, rows_that_fit
from multidir.models.packed_linear import PackedLinears
from multidir.models.prefixes import Prefixes
from multidir.models.row_attention import is_plain
from multidir.models.sampling import Sampling
from multidir.models.sharing import Group, Job, count_prompt, fill, plan, start_again
from multidir.records.stopping import NO_LOOPS, LoopRule

log = logging.getLogger(__name__)

ENTER = 8
"""Rows enter once an eighth of the batch is free, or all that wait fit: a prefill for single rows does not pay."""


def generate(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    edits: Sequence[Edits] = (),
    rows: int | None = None,
    loops: LoopRule = NO_LOOPS,
    share: bool = True,
    replay: bool = True,
) -> list[Generation]:
    """As `stream`, in the order of the prompts."""
    found = dict(stream(lm, prompts, seeds, sampling, edits, rows, loops, share, replay=replay))
    return [found[index] for index in range(len(prompts))]


def stream(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    edits: Sequence[Edits] = (),
    rows: int | None = None,
    loops: LoopRule = NO_LOOPS,
    share: bool = True,
    references: Mapping[int, int] | None = None,
    limits: Mapping[int, int] | None = None,
    replay: bool = True,
) -> Iterator[tuple[int, Generation]]:
    """Continue every prompt and yield each as it ends.

    Args:
        prompts: token ids.
        seeds: one per prompt; ignored when not sampling.
        edits: each edits one site; its row i belongs to prompt i.
        rows: most rows in a batch, which never has more than fit into free memory. Halved when memory runs out.
        loops: when a text is cut off because it repeats itself.
        share: False to run every prompt for every row, for comparison.
        references: row -> the row from which the KL divergence of its first step is measured; an earlier one.
        limits: row -> most tokens it may write, where that is fewer than for all.
        replay: False to run every step anew on a GPU too, for comparison.
    Yields:
        Index of the prompt, and what was written. The receipts of its edits are complete by then.
    Raises:
        ConfigError: seeds or edits for another number of prompts, or a prompt too long for the model.
        AlignmentError: an empty prompt, or an id outside the vocabulary.
        ModelError: a model without its upper blocks, or with blocks that are not attention; not enough memory
            for one row. RowError: logits that are not finite.
    """
    lm.require_complete("generate")
    if (rows is not None and rows < 1) or {len(prompts)} != {len(seeds), *map(len, edits)} | {len(prompts)}:
        raise ConfigError(
            f"{len(prompts)} prompts need as many seeds and rows of edits, and rows >= 1; got {len(seeds)} seeds, "
            f"edits for {[len(edit) for edit in edits]} rows, rows={rows}"
        )
    check_sequences(lm, prompts, sampling.max_new_tokens)
    chosen = [tuple(int(token) for token in prompt) for prompt in prompts]
    groups = plan(chosen, edits, share)
    engine = _Engine(lm, groups, seeds, sampling, edits, loops, references or {}, limits or {}, replay)
    return engine.run(rows)


@dataclass(eq=False)
class _Engine:
    """Rows that wait, rows that run, and the edits that are hooked in while they do."""

    lm: LanguageModel
    groups: Sequence[Group]
    seeds: Sequence[int]
    sampling: Sampling
    edits: Sequence[Edits]
    loops: LoopRule
    references: Mapping[int, int]
    limits: Mapping[int, int]
    replay: bool

    def __post_init__(self) -> None:
        replayed = self.replay and is_plain(self.lm.model) and all(edit.replayable for edit in self.edits)
        self.recorder = step_recorder(self.lm.device) if replayed else None
        self.first_step = FirstStep(self.references)
        self.prefixes = Prefixes(self.lm, self.groups, self.recorder is not None)
        self.linears = PackedLinears(self.lm.model)
        self.waiting = deque(Job(row, g, state) for g in self.groups for state in g.states for row in state.rows)
        self.running: dict[int, Job] = {}
        self.decoding, self.hooked = ExitStack(), False
        self.batch = self._empty_batch()

    def _empty_batch(self) -> Batch:
        return Batch(self.lm, self.sampling, self.loops, self.first_step, self.prefixes.attention, self.recorder)

    def run(self, rows: int | None) -> Iterator[tuple[int, Generation]]:
        """Everything that waits, at most `rows` rows at a time."""
        if not self.waiting:
            return
        fit = rows_that_fit(self.lm, self.prefixes.longest_own + self.sampling.max_new_tokens, self.sampling)
        limit = fit if rows is None else min(rows, fit)
        try:
            while self.waiting or self.running:
                failed = ""
                try:
                    found = self._turn(limit)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    failed = str(error)  # the error itself keeps the memory of its frames
                if failed:
                    limit = self._retreat(failed)
                else:
                    yield from found
        finally:
            self._unhook()

    @torch.inference_mode()
    def _turn(self, limit: int) -> list[tuple[int, Generation]]:
        free = limit - len(self.batch)
        if self.waiting and free >= min(len(self.waiting), max(1, limit // ENTER)):
            self._unhook()
            self._admit([self.waiting.popleft() for _ in range(min(free, len(self.waiting)))])
        if not self.hooked:
            self._hook()
        self.batch.advance()
        return self._retire()

    def _admit(self, jobs: Sequence[Job]) -> None:
        """Let rows in: what is missing of their prompts is run first, with the edits of the batch unhooked."""
        self.running |= {job.row: job for job in jobs}
        with self.linears.used():
            fill(self.lm, jobs, self.edits)
        self.batch.enter([self._entrant(job) for job in jobs])
        self._assign()  # takes over the prefixes before their groups let them go
        for job in jobs:
            count_prompt(job, self.edits)

    def _entrant(self, job: Job) -> Entrant:
        own, n_own = self.prefixes.own(job)
        limit = self.limits.get(job.row, self.sampling.max_new_tokens)
        return Entrant(job.row, job.group.prompt, own, n_own, self.seeds[job.row], limit)

    def _assign(self) -> None:
        self.prefixes.assign([self.running[row] for row in self.batch.rows])

    def _hook(self) -> None:
        self.hooked, self.decoding = True, ExitStack()
        self.decoding.enter_context(self.prefixes.used())
        self.decoding.enter_context(self.linears.used())
        rows, counts = self.batch.rows, [len(prompt) for prompt in self.batch.prompts]
        for edit in self.edits:
            self.decoding.enter_context(edit.attach(self.lm, self.batch.positions, rows, counts))

    def _unhook(self) -> None:
        self.hooked = False
        self.decoding.close()

    def _retire(self) -> list[tuple[int, Generation]]:
        """What has ended leaves. The model is unhooked then: whoever gets the texts may use it before going on."""
        ended = self.batch.poll()
        if not ended:
            return []
        self._unhook()
        found = [(self.batch.rows[place], generation) for place, generation in ended]
        self.batch.leave([place for place, _ in ended])
        for row, _ in found:
            del self.running[row]
        if self.running:
            self._assign()
        return found

    def _retreat(self, failed: str) -> int:
        """After memory ran out: the rows that ran start again, half as many at a time."""
        count = len(self.running)
        self._unhook()
        if count <= 1:
            raise ModelError(
                f"not enough memory for a single row of {self.lm.source}: {failed}; shorten the prompts, generate "
                "fewer tokens, or compute in bfloat16"
            )
        log.warning("out of memory with %d rows; going on with %d", count, count // 2)
        for job in reversed(self.running.values()):
            start_again(job, self.edits)
            self.waiting.appendleft(job)
        self.running.clear()
        self.prefixes.clear()
        self.batch = self._empty_batch()
        release()
        return count // 2
