"""The order of a shuffled pass over a store that does not fit in memory, and how well it mixes.

    rows -> blocks of consecutive rows -> fills of a buffer -> permuted rows -> batches

The blocks of a trace are dealt out to the fills like cards, a random one first, so that every fill holds
the same share of every trace as far as blocks allow; drawing fills at random would put more neighbours
into one batch. A buffer that takes all rows is one fill and therefore a true permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multidir.errors import ConfigError, DesignError
from multidir.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Shuffle:
    """How rows are shuffled; the same settings on the same store give the same batches."""

    batch_rows: int
    seed: int
    block_rows: int = 64
    """Consecutive rows read at once; smaller mixes better and reads slower."""
    buffer_rows: int = 65_536
    """Rows mixed with each other; two such buffers are held in memory."""
    first_positions: bool = False
    """Whether the first token of each text is among the rows; its norm is huge in many models."""

    def __post_init__(self) -> None:
        """Refuse sizes below one and a buffer smaller than a block."""
        if min(self.batch_rows, self.block_rows) < 1 or self.buffer_rows < self.block_rows:
            raise ConfigError(
                f"a shuffle needs batch_rows and block_rows of at least 1 and buffer_rows of at least block_rows; "
                f"got {self.batch_rows}, {self.block_rows} and {self.buffer_rows}"
            )


@dataclass(frozen=True, eq=False)
class Blocks:
    """Stretches of consecutive rows of one shard."""

    first: IntArray
    """(k,) first row in the store."""
    rows: IntArray
    """(k,) rows."""
    trace: IntArray
    """(k,) trace of the first row."""


class ShufflePlan:
    """Which row comes when, in every epoch; needs no activations."""

    def __init__(self, shard_ends: Sequence[int], trace_index: IntArray, keep: BoolArray, settings: Shuffle) -> None:
        """Plan passes over the rows of a store.

        Args:
            shard_ends: row after the last one of each shard.
            trace_index: (n,) trace of each row.
            keep: (n,) which rows take part.
            settings: sizes and seed.

        Raises:
            DesignError: no row takes part.
        """
        self.settings = settings
        self.keep = keep
        self.n = int(keep.sum())
        if self.n == 0:
            raise DesignError("there is no row to stream: the store is empty, or holds first positions only")
        self._trace_index = trace_index
        self.blocks = _cut(shard_ends, trace_index, settings.block_rows)
        self._dealt: tuple[int, list[IntArray]] | None = None
        whole = len(keep) <= settings.buffer_rows
        self.n_fills = 1 if whole else -(-len(self.blocks.first) * settings.block_rows // settings.buffer_rows)

    def fills(self, epoch: int) -> list[IntArray]:
        """Blocks of each fill of an epoch, in the order of the file."""
        if self._dealt is None or self._dealt[0] != epoch:
            self._dealt = epoch, self._deal(epoch)
        return self._dealt[1]

    def _deal(self, epoch: int) -> list[IntArray]:
        rng = self._rng(epoch, 0)
        dealt = np.lexsort((rng.random(len(self.blocks.first)), self.blocks.trace))
        turn = (np.arange(len(dealt)) + rng.integers(self.n_fills)) % self.n_fills
        chosen = [np.sort(dealt[turn == number]) for number in rng.permutation(self.n_fills)]
        return [blocks for blocks in chosen if self.kept(blocks)]

    def kept(self, blocks: IntArray) -> int:
        """Rows of blocks that take part."""
        return int(self.keep[self.rows(blocks)].sum())

    def rows(self, blocks: IntArray) -> IntArray:
        """(m,) all rows of blocks, in the order in which they are read."""
        sizes = self.blocks.rows[blocks]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows: IntArray = np.repeat(self.blocks.first[blocks], sizes) + within
        return rows

    def order(self, epoch: int, number: int) -> IntArray:
        """Places within the read rows of fill `number`, in the order in which they are handed out."""
        kept = np.flatnonzero(self.keep[self.rows(self.fills(epoch)[number])])
        return self._rng(epoch, number + 1).permutation(kept)

    def _rng(self, epoch: int, stage: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, epoch, stage])

    @property
    def largest_fill(self) -> int:
        """Rows that a buffer needs."""
        return min(len(self.keep), -(-len(self.blocks.first) // self.n_fills) * self.settings.block_rows)

    def collision_ratio(self, epoch: int = 0) -> float:
        """Chance that two rows of a batch come from one trace, relative to a full permutation.

        1 is perfect mixing; stored sequences read in order give about the number of traces.
        """
        weighted = 0.0
        for blocks in self.fills(epoch):
            rows = self.rows(blocks)
            rows = rows[self.keep[rows]]
            weighted += len(rows) * pair_rate(self._trace_index[rows])
        everywhere = pair_rate(self._trace_index[self.keep])
        return weighted / self.n / everywhere if everywhere else 1.0


def _cut(shard_ends: Sequence[int], trace_index: IntArray, size: int) -> Blocks:
    starts = [0, *shard_ends[:-1]] if len(shard_ends) else []
    first = [np.arange(start, end, size) for start, end in zip(starts, shard_ends, strict=True)]
    rows = [np.minimum(size, end - cut) for end, cut in zip(shard_ends, first, strict=True)]
    joined = np.concatenate([np.zeros(0, np.int64), *first])
    return Blocks(joined, np.concatenate([np.zeros(0, np.int64), *rows]), trace_index[joined])


def pair_rate(traces: IntArray) -> float:
    """Share of pairs of rows that come from the same trace; 0 when there is no pair.

    Args:
        traces: (m,) trace of each row.
    """
    m = len(traces)
    counts: FloatArray = np.bincount(traces).astype(np.float64)
    return float((counts * (counts - 1)).sum() / (m * (m - 1))) if m > 1 else 0.0
