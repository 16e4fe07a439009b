"""How many rows fit: by arithmetic from the shape of the model and what is free."""

from __future__ import annotations

import pytest

from multidir.models import memory
from multidir.models.language_model import LanguageModel
from multidir.models.room import SPARE
from multidir.models.sampling import Sampling

TOKEN = 2 * 4 * 2 * 8 * 4
"""Keys and values of 4 blocks with 2 heads of width 8 in float32."""


def test_bytes_of_one_token(lm: LanguageModel) -> None:
    assert memory.bytes_per_token(lm) == TOKEN


def test_rows_grow_with_what_is_free_and_shrink_with_length(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = Sampling(False)

    def rows(free: int, tokens: int, sampling: Sampling = greedy) -> int:
        monkeypatch.setattr(memory, "free_bytes", lambda _: free)
        return memory.rows_that_fit(lm, tokens, sampling)

    one = TOKEN * (100 + SPARE) + lm.vocab_size * 12
    assert rows(int(20.5 * one / memory.SHARE["cpu"]), 100) == 20
    assert rows(int(20.5 * one / memory.SHARE["cpu"]), 200) < 20
    assert rows(int(20.5 * one / memory.SHARE["cpu"]), 100, Sampling()) < 20
    assert rows(0, 100) == 1, "one row is always tried"
    assert rows(1 << 50, 100) == memory.MOST["cpu"]


def test_free_memory_is_known(lm: LanguageModel) -> None:
    assert 1 << 20 < memory.free_bytes(lm.device) < 1 << 50


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error: Exception, told: bool) -> None:
    assert memory.is_out_of_memory(error) is told
