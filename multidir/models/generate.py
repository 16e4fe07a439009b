"""Generating many rows in one batch, each with its own seed and its own edits of the residual stream.

Rows are padded on the left with explicit mask and positions. A row that ends leaves the batch. In
float32 a row's tokens depend on its prompt, seed and edits alone, not on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from multidir.errors import ConfigError, ModelError
from multidir.models.cache import drop_rows, roomy_cache
from multidir.models.capture import check_sequences
from multidir.models.load import LanguageModel
from multidir.models.positions import Positions, track_positions
from multidir.models.sampling import Sampling, choose, draws


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


class Edits(Protocol):
    """What `generate` needs of edits; `steer.edit` makes them."""

    def __len__(self) -> int:
        """Number of rows they are for."""
        ...

    def attach(
        self, lm: LanguageModel, positions: Positions, rows: Sequence[int], n_prompt: Sequence[int]
    ) -> AbstractContextManager[LiveEdits]:
        """Hook the edits of these rows into the model; batch row i gets the edits of `rows[i]`."""
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
        ModelError: logits that are not finite.
    """
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
    batch: list[int],
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    edits: Sequence[Edits],
) -> dict[int, Generation]:
    chosen = [tuple(int(token) for token in prompts[index]) for index in batch]
    with ExitStack() as stack:
        live: list[LiveEdits] = []
        if edits:
            positions = stack.enter_context(track_positions(lm.model))
            counts = [len(prompt) for prompt in chosen]
            live = [stack.enter_context(edit.attach(lm, positions, batch, counts)) for edit in edits]
        new, finished = _decode(lm, chosen, [seeds[index] for index in batch], sampling, live)
    return {
        index: Generation(prompt + tokens, len(prompt), ended)
        for index, prompt, tokens, ended in zip(batch, chosen, new, finished, strict=True)
    }


@torch.inference_mode()
def _decode(
    lm: LanguageModel, prompts: list[tuple[int, ...]], seeds: list[int], sampling: Sampling, live: list[LiveEdits]
) -> tuple[list[tuple[int, ...]], list[bool]]:
    limit = sampling.max_new_tokens
    step_ids, mask = (tensor.to(lm.device) for tensor in _left_padded(prompts, lm.pad_id, limit))
    width = step_ids.shape[1]
    places = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
    uniforms = (
        draws(seeds, limit).to(lm.device) if sampling.do_sample else torch.zeros(len(prompts), limit, device=lm.device)
    )
    ends = torch.tensor(lm.eos_ids, dtype=torch.long, device=lm.device)
    written = torch.full((len(prompts), limit), lm.pad_id, dtype=torch.long, device=lm.device)
    lengths = torch.full((len(prompts),), limit, device=lm.device)
    finished = torch.zeros(len(prompts), dtype=torch.bool, device=lm.device)
    alive = torch.arange(len(prompts), device=lm.device)
    cache = roomy_cache(lm.model)
    for step in range(limit):
        logits = lm.model(
            input_ids=step_ids, attention_mask=mask[:, : width + step], position_ids=places,
            past_key_values=cache, use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip
        _check_finite(logits, step)
        tokens = choose(logits, uniforms[:, step], sampling)
        written[alive, step] = tokens
        ended = torch.isin(tokens, ends)
        places = places[:, -1:] + 1
        if bool(ended.any()):
            lengths[alive[ended]], finished[alive[ended]] = step + 1, True
            if bool(ended.all()):
                break
            stay = drop_rows(cache, ended)
            alive, tokens, places, mask, uniforms = (t[stay] for t in (alive, tokens, places, mask, uniforms))
            for edit in live:
                edit.keep(stay)
        step_ids = tokens[:, None]
    ids, counts = written.tolist(), lengths.tolist()
    return [tuple(row[:count]) for row, count in zip(ids, counts, strict=True)], finished.tolist()


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
