"""The rows that are being continued together: one token more for each of them, in and out at any time.

Rows are aligned at their right end. What a step does depends on nothing that is known on the host, so that a
device can run ahead; `poll` looks at what has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from multidir.models.blocks import cached
from multidir.models.cache import KeyValues, RoomyCache, moves
from multidir.models.device import StepRecorder
from multidir.models.first_step import FirstStep
from multidir.models.generation import Generation, RowError
from multidir.models.language_model import LanguageModel
from multidir.models.positions import PAD, Positions
from multidir.models.room import Room
from multidir.models.row_attention import RowAttention
from multidir.models.sampling import Sampling, choose, draws
from multidir.models.stopping import LoopWatch
from multidir.models.window import Window
from multidir.records.outcome import Stop
from multidir.records.stopping import LoopRule

_CODES: tuple[Stop | None, ...] = (None, "eos", "length", "loop")
_GOING, _EOS, _LENGTH, _LOOP, _BROKEN = range(5)


@dataclass(frozen=True)
class Entrant:
    """A row that enters: all its prompt but the last token has been run."""

    row: int
    prompt: tuple[int, ...]
    own: tuple[KeyValues, ...]
    """What it brings into the cache."""
    n_own: int
    """Tokens of that."""
    seed: int
    limit: int
    """Most tokens it may write."""


@dataclass
class _Rows:
    """One value per row, on the device."""

    ids: Tensor
    """(b, 1) the token that is run next"""
    places: Tensor
    """(b, 1) its absolute position; PAD in rows that have ended, which nothing edits any more"""
    own: Tensor
    """(b,) columns of the cache that are the row's"""
    count: Tensor
    """(b,) tokens written"""
    limit: Tensor
    uniforms: Tensor
    code: Tensor
    """(b,) why the row has ended, as an index of _CODES"""

    def only(self, rows: Tensor) -> _Rows:
        return _Rows(*(getattr(self, each.name)[rows] for each in fields(self)))

    def and_then(self, more: _Rows) -> _Rows:
        return _Rows(*(torch.cat([getattr(self, each.name), getattr(more, each.name)]) for each in fields(self)))


class Batch:
    """Rows that are being continued, in an order of their own."""

    def __init__(
        self,
        lm: LanguageModel,
        sampling: Sampling,
        loops: LoopRule,
        first_step: FirstStep,
        attention: RowAttention | None = None,
        recorder: StepRecorder | None = None,
    ) -> None:
        """Start empty.

        Args:
            attention: then the cache holds what each row has beside its common prefix, if it has one.
            recorder: records steps that are then replayed; it needs `attention`.
        """
        self.lm, self.sampling, self.first_step, self.attention = lm, sampling, first_step, attention
        self.rows: list[int] = []
        """Row of every place in the batch."""
        self.prompts: list[tuple[int, ...]] = []
        self.positions = Positions()
        self.positions.fresh = False
        self._cache = RoomyCache(lm.model, keys_by_column=attention is not None)
        self._tokens = Room(fill=PAD)
        self._loops = LoopWatch(loops, lm.device)
        self._ends = torch.tensor(lm.eos_ids, dtype=torch.long, device=lm.device)
        self._state = self._made(())
        self._born: list[int] = []
        self._own: list[int] = []
        self._step = 0
        self._recorder = recorder
        self._window: Window | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def enter(self, entrants: Sequence[Entrant]) -> None:
        """Rows that join at the end of the batch."""
        assert self._window is None
        self._cache.enter([entrant.own for entrant in entrants])
        prompts = [torch.tensor(entrant.prompt, device=self.lm.device) for entrant in entrants]
        self._tokens.enter([(1, [ids[None, :, None]]) for ids in prompts])
        self._loops.enter(len(entrants))
        self._state = self._state.and_then(self._made(entrants))
        self.rows += [entrant.row for entrant in entrants]
        self.prompts += [entrant.prompt for entrant in entrants]
        self._born += [self._step] * len(entrants)
        self._own += [entrant.n_own for entrant in entrants]

    def _made(self, entrants: Sequence[Entrant]) -> _Rows:
        limit = self.sampling.max_new_tokens

        def column(values: Sequence[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=self.lm.device)

        uniforms = torch.zeros(len(entrants), 1, dtype=torch.float64)
        if self.sampling.do_sample and entrants:
            uniforms = draws([entrant.seed for entrant in entrants], limit)
        elif self.sampling.do_sample:
            uniforms = uniforms.expand(0, limit)
        return _Rows(
            ids=column([entrant.prompt[-1] for entrant in entrants])[:, None],
            places=column([len(entrant.prompt) - 1 for entrant in entrants])[:, None],
            own=column([entrant.n_own for entrant in entrants]),
            count=column([0] * len(entrants)),
            limit=column([entrant.limit for entrant in entrants]),
            uniforms=uniforms.to(self.lm.device),
            code=column([_GOING] * len(entrants)),
        )

    def advance(self) -> None:
        """Write one token in every row that has not ended."""
        recorder, entered = self._recorder, self._step in self._born
        if self._window is None and recorder is not None and recorder.works and not entered:
            self._window = Window(self._cache, self._tokens, recorder)
        if self._window is None:
            self._write()
        else:
            self._window.advance(self._write)
        self._step += 1

    def _write(self) -> None:
        """One step. In a window nothing but the contents of tensors may change from one to the next."""
        state, window = self._state, self._window
        self.positions.current, self.positions.tokens = state.places, self._seen()
        state.own += 1
        logits = self._logits(self._mask() if window is None else window.mask(state.own))
        self._meet_first(logits)
        draw = state.uniforms.gather(1, state.count[:, None].clamp(max=state.uniforms.shape[1] - 1)).squeeze(1)
        tokens = choose(logits, draw, self.sampling)
        going = state.code == _GOING
        state.count += going
        self._tokens.append(tokens[:, None, None, None], None if window is None else window.at_token)
        self._end(tokens, logits, going)
        state.ids.copy_(tokens[:, None])
        state.places.copy_(torch.where((state.code == _GOING)[:, None], state.places + 1, PAD))

    def _seen(self) -> Tensor:
        view = self._tokens.view
        assert view is not None
        return view[:, 0, :, 0]

    def _logits(self, mask: Tensor | None) -> Tensor:
        state = self._state
        if self.attention is not None:
            self.attention.hidden = None if mask is None else ~mask[:, None, None]
            mask = None
        logits: Tensor = self.lm.model(
            input_ids=state.ids,
            attention_mask=None if mask is None else mask.long(),
            position_ids=state.places.clamp(min=0),
            **cached(self.lm.model, self._cache),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits

    def _mask(self) -> Tensor | None:
        """(b, t) bool: columns that are the row's, the new one included; None when all are."""
        lengths = [own + self._step - born + 1 for own, born in zip(self._own, self._born, strict=True)]
        width = self._cache.columns + 1
        if min(lengths) == width:
            return None
        return torch.arange(width, device=self.lm.device) >= width - self._state.own[:, None]

    def _meet_first(self, logits: Tensor) -> None:
        new = [place for place, born in enumerate(self._born) if born == self._step]
        if new:
            self.first_step.see([self.rows[place] for place in new], logits[new])

    def _end(self, tokens: Tensor, logits: Tensor, going: Tensor) -> None:
        state, loop = self._state, self._loops.see(tokens)
        code = torch.where(state.count >= state.limit, _LENGTH, _GOING)
        code = torch.where(loop, _LOOP, code)
        code = torch.where((tokens[:, None] == self._ends).any(1), _EOS, code)
        code = torch.where(torch.isfinite(logits.amax(-1)), code, _BROKEN)  # NaN and +inf both survive the maximum
        state.code.copy_(torch.where(going, code, state.code))

    def poll(self) -> list[tuple[int, Generation]]:
        """What has ended, by place in the batch; in a window it is looked at every few steps only.

        Raises:
            RowError: the logits of a row were not finite.
        """
        if self._window is not None and not self._window.due:
            return []
        codes = self._state.code.tolist()
        if self._window is not None and (any(codes) or self._window.full):
            self._window.close()
            self._window = None
        if not any(codes):
            return []
        if _BROKEN in codes:
            place = codes.index(_BROKEN)
            written = int(self._state.count[place]) - 1
            raise RowError(
                self.rows[place],
                f"logits are not finite at new token {written}; lower the dose, or compute in float32",
            )
        counts = self._state.count.tolist()
        return [(place, self._finished(place, counts[place], code)) for place, code in enumerate(codes) if code]

    def _finished(self, place: int, count: int, code: int) -> Generation:
        prompt, stopped = self.prompts[place], _CODES[code]
        assert stopped is not None
        total = len(prompt) + self._step - self._born[place]
        ids = self._seen()[place, -total:][: len(prompt) + count].tolist()
        return Generation(tuple(ids), len(prompt), stopped, self.first_step.of(self.rows[place]))

    def leave(self, places: Sequence[int]) -> Tensor:
        """Let rows go; old place of each row that is left, in the new order."""
        gone = torch.zeros(len(self), dtype=torch.bool)
        gone[list(places)] = True
        stay, holes, movers = (each.to(self.lm.device) for each in moves(gone))
        self._cache.leave(holes, movers, len(stay))
        self._tokens.leave(holes, movers, len(stay))
        self._loops.keep(stay)
        self._state = self._state.only(stay)
        kept = stay.tolist()
        self.rows, self.prompts = [self.rows[i] for i in kept], [self.prompts[i] for i in kept]
        self._born, self._own = [self._born[i] for i in kept], [self._own[i] for i in kept]
        self._trim()
        return stay

    def _trim(self) -> None:
        ages = [self._step - born for born in self._born]
        self._cache.trim(max((own + age for own, age in zip(self._own, ages, strict=True)), default=0))
        lengths = [len(prompt) + age for prompt, age in zip(self.prompts, ages, strict=True)]
        self._tokens.trim(max(lengths, default=0))
