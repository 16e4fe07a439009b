from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from multidir.chat.pool import in_order


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(in_order(lambda x: x * x, range(50), workers)) == [x * x for x in range(50)]
    assert list(in_order(str, [], workers)) == []


def test_no_more_than_the_workers_work_and_items_are_taken_as_needed() -> None:
    taken: list[int] = []
    now, most = [0], [0]
    lock, gate = threading.Lock(), threading.Barrier(4)

    def items() -> Iterator[int]:
        for i in range(200):
            taken.append(i)
            yield i

    def work(i: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        if i < 4:
            gate.wait(10)  # the first four are at work together, or this breaks
        with lock:
            now[0] -= 1
        return i

    results = in_order(work, items(), 4)
    assert next(results) == 0
    assert len(taken) < 40
    assert list(results) == list(range(1, 200))
    assert most[0] == 4


def test_the_first_failure_is_raised_and_what_has_not_begun_is_dropped() -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        if i == 2:
            raise ValueError("two")
        return i

    results = in_order(work, range(1000), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        list(results)
    assert len(begun) < 20
