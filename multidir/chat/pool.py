"""Several calls at the same time, results in the order of the questions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4
"""Items taken per worker before the first result is given out."""


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """`map(work, items)` by a bounded number of threads.

    The first exception is raised in its place in the order; work that has not begun by then is dropped, work that
    has is finished first, so that nothing paid for is lost.
    """
    if workers == 1:
        yield from map(work, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(workers, "multidir-calls") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            waiting.extend(pool.submit(work, item) for item in islice(source, workers * _AHEAD))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(source, 1))
        finally:
            for future in waiting:
                future.cancel()
