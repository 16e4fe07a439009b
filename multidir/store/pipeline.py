"""Shards on their way to disk in threads: written and hashed two at a time, named in the manifest in order.

append -> [buffer] -> write and hash (2 threads) -> rename and manifest (1 thread) -> buffer is free again
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from multidir.store.shard_write import ShardBuffer, write_shard
from multidir.store.spec import StoreSpec
from multidir.store.store_manifest import ShardRecord, StoreManifest

log = logging.getLogger(__name__)

_IN_FLIGHT = 2


class ShardPipeline:
    """Takes full buffers and keeps the manifest up with what is on disk."""

    def __init__(self, folder: Path, spec: StoreSpec, manifest: StoreManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        """What is on disk and named."""
        self._number = len(manifest.shards)
        self._free = [ShardBuffer(spec) for _ in range(_IN_FLIGHT + 1)]
        self._writers = ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="store")
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._in_flight: deque[tuple[ShardBuffer, Future[None]]] = deque()

    def buffer(self) -> ShardBuffer:
        """An empty buffer to fill; waits for one when all are on their way."""
        while not self._free:
            self._wait_for_oldest()
        return self._free.pop()

    def put(self, buffer: ShardBuffer) -> None:
        """Send a full buffer on its way.

        Raises:
            ConfigError: the disk refused an earlier shard.
        """
        while len(self._in_flight) >= _IN_FLIGHT:
            self._wait_for_oldest()
        path = self.folder / f"shard-{self._number:05d}.h5"
        self._number += 1
        written = self._writers.submit(write_shard, path, buffer)
        self._in_flight.append((buffer, self._committer.submit(self._commit, written)))

    def _commit(self, written: Future[ShardRecord]) -> None:
        """Name a shard in the manifest; shards come here in order, and none after one that failed."""
        record = written.result()
        if record.file != f"shard-{len(self.manifest.shards):05d}.h5":
            return
        manifest = self.manifest.with_shard(record)
        manifest.save(self.folder)
        self.manifest = manifest
        log.info("%s: %d rows of %d traces", record.file, record.rows, record.traces)

    def _wait_for_oldest(self) -> None:
        buffer, committed = self._in_flight.popleft()
        committed.result()
        buffer.clear()
        self._free.append(buffer)

    def finish(self) -> StoreManifest:
        """Wait for everything on its way.

        Raises:
            ConfigError: the disk refused a shard.
        """
        while self._in_flight:
            self._wait_for_oldest()
        return self.manifest

    def stop(self) -> None:
        """Let what is on its way arrive, and end the threads."""
        self._writers.shutdown()
        self._committer.shutdown()
