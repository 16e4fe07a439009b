"""Doing two things at once: a helper thread runs ahead of the consumer by a few items."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made by a thread that runs up to `depth` items ahead.

    With capture as the source and a writer as the consumer, the model and the disk work at the same
    time. An exception of the source is raised at the place in the order where it happened. Closing the
    iterator (also by an exception in the consumer) ends the thread before control returns.
    """
    queue: Queue[tuple[str, T | BaseException | None]] = Queue(maxsize=max(1, depth))
    stop = threading.Event()

    def put(entry: tuple[str, T | BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                queue.put(entry, timeout=0.05)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put(("item", item)):
                    break
            else:
                put(("end", None))
        except BaseException as error:  # handed to the consumer, whatever it is
            put(("error", error))
        finally:
            if isinstance(source, Generator):  # in this thread, so that its own clean-up is over when we return
                source.close()

    thread = threading.Thread(target=work, name="multidir-prefetch", daemon=True)
    thread.start()
    try:
        yield from _drain(queue)
    finally:
        stop.set()
        thread.join()


def _drain(queue: Queue[tuple[str, T | BaseException | None]]) -> Iterator[T]:
    while True:
        try:
            kind, value = queue.get(timeout=1.0)
        except Empty:
            continue
        if kind == "end":
            return
        if kind == "error":
            assert isinstance(value, BaseException)
            raise value
        yield value  # type: ignore[misc]
