"""The manifest of an activation store: what made it, which files it has, and whether they are still those."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from multidir.errors import FormatError
from multidir.progress import each
from multidir.store.atomic import PARTIAL, sha256_file, sha256_json, write_json_atomic
from multidir.store.manifest_file import MANIFEST, read_manifest
from multidir.store.plain import build, plain
from multidir.store.spec import StoreSpec

FORMAT = "multidir-activations"
VERSION = 1


@dataclass(frozen=True)
class ShardRecord:
    """One shard file as it was published."""

    file: str
    rows: int
    traces: int
    bytes: int
    sha256: str
    offsets: dict[str, int]
    """Byte offset of each set of activations in the file, by dataset name."""


@dataclass(frozen=True)
class LabelRecord:
    """One label file as it was published."""

    file: str
    bytes: int
    sha256: str
    labels: tuple[str, ...]
    sentences: int
    unlabelled: int
    """Sentences whose annotator could not decide."""
    window: tuple[int, int] | None = None
    """Token offsets from the start of a sentence over which the file holds sums, both ends included."""
    shards: int = 0
    """Shards that the sums cover."""


@dataclass(frozen=True)
class StoreManifest:
    """Everything the manifest says; a new one is made for every change."""

    spec: StoreSpec
    versions: dict[str, str]
    shards: tuple[ShardRecord, ...] = ()
    labels: dict[str, LabelRecord] = field(default_factory=dict)
    complete: bool = False
    """Whether the last writer ended well; whole shards are readable either way."""
    sources: tuple[dict[str, Any], ...] = ()
    """Where the traces came from, one entry for each set that a writer was given. JSON values."""

    @property
    def n_rows(self) -> int:
        """Tokens in the store."""
        return sum(shard.rows for shard in self.shards)

    @property
    def n_traces(self) -> int:
        """Traces in the store."""
        return sum(shard.traces for shard in self.shards)

    @property
    def content_hash(self) -> str:
        """One hash over what made the store, its shards and its labels; where it lies does not matter."""
        made: dict[str, Any] = {
            "version": VERSION,
            "spec": self.spec.to_json(),
            "shards": [shard.sha256 for shard in self.shards],
            "labels": {name: record.sha256 for name, record in self.labels.items()},
        }
        return sha256_json(made | ({"sources": self.sources} if self.sources else {}))

    def with_source(self, source: dict[str, Any]) -> StoreManifest:
        """This manifest with one source more, unless it is there already."""
        known = plain(source)
        return self if not source or known in self.sources else replace(self, sources=(*self.sources, known))

    def with_shard(self, record: ShardRecord) -> StoreManifest:
        """This manifest with one shard more."""
        return replace(self, shards=(*self.shards, record))

    def files(self) -> dict[str, tuple[int, str]]:
        """Size and sha256 of every file of the store, by name."""
        records: list[ShardRecord | LabelRecord] = [*self.shards, *self.labels.values()]
        return {record.file: (record.bytes, record.sha256) for record in records}

    def save(self, folder: Path) -> None:
        """Replace the manifest of a folder.

        Raises:
            ConfigError: the disk is full or the folder cannot be written.
        """
        spec = self.spec.to_json()
        write_json_atomic(
            folder / MANIFEST,
            {
                "format": FORMAT,
                "version": VERSION,
                "status": "complete" if self.complete else "writing",
                "n_rows": self.n_rows,
                "n_traces": self.n_traces,
                "content_hash": self.content_hash,
                "spec_hash": sha256_json(spec),
                "spec": spec,
                "sources": self.sources,
                "versions": self.versions,
                "labels": {name: asdict(record) for name, record in sorted(self.labels.items())},
                "shards": [asdict(record) for record in self.shards],
            },
        )

    @classmethod
    def load(cls, folder: Path) -> StoreManifest:
        """Read the manifest of a folder.

        Raises:
            FormatError: no store, of a newer version, or a broken manifest.
        """
        value = read_manifest(folder, FORMAT, VERSION)
        try:
            found = cls(
                StoreSpec.from_json(value["spec"]),
                build(dict[str, str], value["versions"]),
                build(tuple[ShardRecord, ...], value["shards"]),
                build(dict[str, LabelRecord], value["labels"]),
                value["status"] == "complete",
                build(tuple[dict[str, Any], ...], value.get("sources", [])),
            )
        except KeyError as error:
            raise FormatError(f"{folder / MANIFEST} has no {error}; restore it or capture again") from error
        except FormatError as error:
            raise FormatError(f"{folder / MANIFEST} is broken: {error}; restore it or capture again") from error
        if found.content_hash != value.get("content_hash"):
            raise FormatError(f"{folder / MANIFEST} was edited: its content hash does not fit; restore it")
        return found


def remove_debris(folder: Path, manifest: StoreManifest) -> None:
    """Delete what a killed writer leaves: unfinished files, and finished ones that no manifest names yet."""
    known = manifest.files()
    for pattern in (f"*{PARTIAL}", "shard-*.h5", "labels-*.h5"):
        for file in folder.glob(pattern):
            if file.name not in known:
                file.unlink()


def missing_shards(folder: Path, manifest: StoreManifest) -> list[str]:
    """One sentence per shard that is gone or has another size; without its shards a store cannot be used."""
    return _missing(folder, {record.file: (record.bytes, record.sha256) for record in manifest.shards})


def _missing(folder: Path, files: dict[str, tuple[int, str]]) -> list[str]:
    problems = []
    for name, (size, _) in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size < size:
            problems.append(f"{name} is truncated: {path.stat().st_size} bytes, expected {size}")
        elif path.stat().st_size > size:
            problems.append(f"{name} has grown: {path.stat().st_size} bytes, expected {size}")
    return problems


def changed_files(folder: Path, manifest: StoreManifest) -> list[str]:
    """One sentence per file that is gone, has another size, or has another sha256."""
    problems = _missing(folder, manifest.files())
    bad = {problem.split(" ", 1)[0] for problem in problems}
    files = manifest.files()
    for name, (_, digest) in each(files.items(), "verifying", "file", len(files)):
        if name not in bad and sha256_file(folder / name) != digest:
            problems.append(f"{name} was changed: its sha256 differs from the manifest")
    return problems
