"""Generating many rows in one batch, each with its own seed and its own edits of the residual stream.

Rows are padded on the left with explicit mask and positions. A row that ends leaves the batch. In
float32 a row's tokens depend on its prompt, seed and edits alone, not on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from multidir.errors import ConfigError, ModelError
from multidir.models.cache import drop_rows, roomy_cache
from multidir.models.capture import check_sequences
from multidir.models.language_model import LanguageModel
from multidir.models.positions import PAD, Positions
from multidir.models.sampling import Sampling, choose, draws
from multidir.types import FloatArray, IntArray


@dataclass(frozen=True)
class Generation:
    """A prompt with what the model wrote after it."""

    token_ids: tuple[int, ...]
    """Prompt and new tokens; the token that ended the generation is the last one."""
    n_prompt: int
    finished: bool
    """True when the model ended by itself, False when the length limit did."""

    @property
    def new_ids(self) -> tuple[int, ...]:
        """What was written."""
        return self.token_ids[self.n_prompt :]


class LiveEdits(Protocol):
    """Edits that are hooked into a model for one batch."""

    def keep(self, rows: Tensor) -> None:
        """From now on the batch has only these of its rows, in this order."""
        ...

    def join(self, rows: Sequence[int], n_prompt: Sequence[int]) -> None:
        """These edit rows enter at the end of the batch."""
        ...


class Edits(Protocol):
    """What `generate` needs of edits; `steer.edit` makes them."""

    edited: IntArray
    """(b,) receipt: token positions edited so far, per row."""
    edit_norm_sum: FloatArray
    """(b,) float64 receipt: sum of the norms of those edits, per row."""

    def __len__(self) -> int:
        """Number of rows they are for."""
        ...

    def attach(
        self, lm: LanguageModel, positions: Positions, rows: Sequence[int], n_prompt: Sequence[int] | None
    ) -> AbstractContextManager[LiveEdits]:
        """Hook the edits of these rows into the model; batch row i gets the edits of `rows[i]`."""
        ...

    def prompt_state(self, row: int, prompt: Sequence[int]) -> tuple[int, Hashable]:
        """From which position on this row's prompt may differ from the unsteered one, and what its stream depends on.

        Returns:
            First absolute position of the prompt whose residual stream this row may change (the length of the
            prompt if none), and a key: rows with the same prompt and an equal key have identical streams over the
            whole prompt. A gate or noise counts as a change.
        """
        ...


def generate(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    edits: Sequence[Edits] = (),
    rows: int = 64,
) -> list[Generation]:
    """Continue every prompt, in batches of up to `rows` rows of like length.

    Args:
        prompts: token ids.
        seeds: one per prompt; ignored when not sampling.
        edits: each edits one site; its row i belongs to prompt i.
    Returns:
        One generation per prompt, in the order given.
    Raises:
        ConfigError: seeds or edits for another number of prompts, or a prompt too long for the model.
        AlignmentError: an empty prompt, or an id outside the vocabulary.
        ModelError: logits that are not finite, or a model without its upper blocks.
    """
    lm.require_complete("generate")
    if rows < 1 or len(seeds) != len(prompts) or any(len(edit) != len(prompts) for edit in edits):
        raise ConfigError(
            f"{len(prompts)} prompts need as many seeds and rows of edits, and rows >= 1; got {len(seeds)} seeds, "
            f"edits for {[len(edit) for edit in edits]} rows, rows={rows}"
        )
    check_sequences(lm, prompts, sampling.max_new_tokens)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    found: dict[int, Generation] = {}
    for first in range(0, len(order), rows):
        batch = order[first : first + rows]
        found |= _generate(lm, batch, prompts, seeds, sampling, edits)
    return [found[index] for index in range(len(prompts))]


def _generate(
    lm: LanguageModel,
    rows: list[int],
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    edits: Sequence[Edits],
) -> dict[int, Generation]:
    chosen = [tuple(int(token) for token in prompts[index]) for index in rows]
    positions, counts = Positions(), [len(prompt) for prompt in chosen]
    with ExitStack() as stack, torch.inference_mode():
        live = [stack.enter_context(edit.attach(lm, positions, rows, counts)) for edit in edits]
        batch = _Batch(lm, chosen, [seeds[index] for index in rows], sampling)
        for step in range(sampling.max_new_tokens):
            positions.current, positions.fresh = batch.positions, step == 0
            stay = batch.advance(step)
            if stay is not None and not len(stay):
                break
            if stay is not None:
                for edit in live:
                    edit.keep(stay)
    written, lengths, finished = batch.written.tolist(), batch.lengths.tolist(), batch.finished.tolist()
    return {
        index: Generation(prompt + tuple(tokens[:length]), len(prompt), ended)
        for index, prompt, tokens, length, ended in zip(rows, chosen, written, lengths, finished, strict=True)
    }


class _Batch:
    """Rows that are being continued. What is indexed by `alive` shrinks as rows end; the rest keeps its place."""

    def __init__(self, lm: LanguageModel, prompts: list[tuple[int, ...]], seeds: list[int], sampling: Sampling) -> None:
        count, limit, device = len(prompts), sampling.max_new_tokens, lm.device
        self.lm, self.sampling = lm, sampling
        self.ids, self.mask = (tensor.to(device) for tensor in _left_padded(prompts, lm.pad_id, limit))
        self.width = self.ids.shape[1]
        seen = self.mask[:, : self.width]
        self.positions = (seen.cumsum(1) - 1).masked_fill(seen == 0, PAD)
        self.uniforms = (draws(seeds, limit) if sampling.do_sample else torch.zeros(count, limit)).to(device)
        self.ends = torch.tensor(lm.eos_ids, dtype=torch.long, device=device)
        self.cache = roomy_cache(lm.model)
        self.alive = torch.arange(count, device=device)
        self.written = torch.full((count, limit), lm.pad_id, dtype=torch.long, device=device)
        self.lengths = torch.full((count,), limit, device=device)
        self.finished = torch.zeros(count, dtype=torch.bool, device=device)

    def advance(self, step: int) -> Tensor | None:
        """Write one token in every row that is alive; the rows that stay, or None when all do."""
        logits = self.lm.model(
            input_ids=self.ids,
            attention_mask=self.mask[:, : self.width + step],
            position_ids=self.positions.clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        _check_finite(logits, step)
        tokens = choose(logits, self.uniforms[:, step], self.sampling)
        self.written[self.alive, step] = tokens
        self.ids, self.positions = tokens[:, None], self.positions[:, -1:] + 1
        ended = torch.isin(tokens, self.ends)
        return self._drop(ended, step) if bool(ended.any()) else None

    def _drop(self, ended: Tensor, step: int) -> Tensor:
        self.lengths[self.alive[ended]], self.finished[self.alive[ended]] = step + 1, True
        stay = drop_rows(self.cache, ended)
        self.alive, self.ids, self.positions, self.mask, self.uniforms = (
            tensor[stay] for tensor in (self.alive, self.ids, self.positions, self.mask, self.uniforms)
        )
        return stay


def _left_padded(prompts: list[tuple[int, ...]], pad: int, extra: int) -> tuple[Tensor, Tensor]:
    """Ids (b, t) filled up on the left, and a mask (b, t + extra) that already covers what will be written."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.ones(len(prompts), width + extra, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, : width - len(prompt)] = 0
    return ids, mask


def _check_finite(logits: Tensor, step: int) -> None:
    top = logits.amax(-1)  # NaN and +inf both survive the maximum
    if not bool(torch.isfinite(top).all()):
        row = int((~torch.isfinite(top)).nonzero()[0])
        raise ModelError(
            f"batch row {row}: logits are not finite at new token {step}; lower the dose, or compute in float32"
        )
