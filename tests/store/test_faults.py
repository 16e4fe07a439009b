"""Every accident has its own sentence, and none is silently wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from multidir.errors import ConfigError, FormatError, MultidirError
from multidir.store import direct
from multidir.store.activations import ActivationStore
from tests.store.conftest import Made
from tests.store.stores import (
    ANNOTATOR,
    LENGTHS,
    SITES,
    activations_of,
    folder_bytes,
    make_traces,
    spec,
    values_of,
    write,
)


def kill(what: str, kills: int, seed: int) -> str:
    command = [sys.executable, "-m", "tests.store.killing", "--what", what, "--kills", str(kills), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_killed_writer_leaves_a_whole_store_that_resumes() -> None:
    assert kill("writer", 6, seed=1).startswith("6 kills")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["writer", "capture"])
def test_a_hundred_kills_leave_whole_stores(what: str) -> None:
    assert kill(what, 100, seed=2).startswith("100 kills")


class Stop(Exception):
    """Interrupts a capture."""


def interrupted(path: Path, after: int) -> None:
    traces = make_traces(LENGTHS)
    with pytest.raises(Stop), ActivationStore.create(path, spec(), traces) as writer:  # noqa: PT012 - the test
        for trace in traces[:after]:
            writer.append(trace.id, activations_of(trace, spec()))
        raise Stop


@pytest.mark.parametrize("after", range(len(LENGTHS) + 1))
def test_an_interrupted_capture_resumes_to_the_same_bytes(
    tmp_path: Path, make_store: Callable[..., ActivationStore], after: int
) -> None:
    make_store("whole")
    interrupted(tmp_path / "s", after)
    halfway = ActivationStore.open(tmp_path / "s")
    assert not halfway.manifest.complete
    assert halfway.verify() == []
    ends = [2, 3, 4, 7, 8]  # traces up to the end of each shard
    assert halfway.n_traces == max((end for end in ends if end <= after), default=0), "one shard is lost, not more"
    write(tmp_path / "s", make_traces(LENGTHS))
    assert folder_bytes(tmp_path / "s") == folder_bytes(tmp_path / "whole")


def test_debris_of_a_killed_writer_is_removed(tmp_path: Path, make_store: Callable[..., ActivationStore]) -> None:
    make_store("whole")
    interrupted(tmp_path / "s", 3)
    for name in ("shard-00077.h5", "shard-00001.h5.partial", "labels-0123.h5", "labels.partial"):
        (tmp_path / "s" / name).write_bytes(b"half")
    assert ActivationStore.open(tmp_path / "s").verify() == []
    write(tmp_path / "s", make_traces(LENGTHS))
    assert folder_bytes(tmp_path / "s") == folder_bytes(tmp_path / "whole")


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with (
        ActivationStore.create(tmp_path / "s", spec(), []),
        pytest.raises(ConfigError, match=rf"activation store .* is being written by process {os.getpid()}; wait"),
    ):
        ActivationStore.create(tmp_path / "s", spec(), [])
    ActivationStore.create(tmp_path / "s", spec(), []).close()


def test_labels_wait_for_the_writer(made: Made) -> None:
    with (
        ActivationStore.create(made.store.path, spec(), []),
        pytest.raises(ConfigError, match="is being written by process"),
    ):
        made.store.put_labels(ANNOTATOR, made.sentences)


def test_another_spec_is_refused(made: Made) -> None:
    with pytest.raises(ConfigError, match=r"made with another spec: d was 6, is 8; write to another folder"):
        ActivationStore.create(made.store.path, spec(d=8), [])
    with pytest.raises(ConfigError, match=r"provenance.prompts was 'abc', is None"):
        ActivationStore.create(made.store.path, spec(provenance={}), [])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": "multidir-run", "version": 1}')
    with pytest.raises(FormatError, match="expected format 'multidir-activations', got 'multidir-run'"):
        ActivationStore.create(tmp_path, spec(), [])
    with pytest.raises(FormatError, match=r"has no manifest.json"):
        ActivationStore.open(tmp_path / "absent")


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """The system refuses to let any file of this process grow beyond the limit."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_said_and_the_capture_goes_on_later(
    tmp_path: Path, make_store: Callable[..., ActivationStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store("whole")
    real, writes = os.pwrite, []

    def full(handle: int, data: memoryview, offset: int) -> int:
        writes.append(len(data))
        if len(writes) > 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(direct.os, "pwrite", full)
        with pytest.raises(ConfigError, match=r"disk full while writing .*shard-0000\d.h5: free space there"):
            write(tmp_path / "s", make_traces(LENGTHS))
    assert not list((tmp_path / "s").glob("*.partial"))
    assert ActivationStore.open(tmp_path / "s").verify() == []
    write(tmp_path / "s", make_traces(LENGTHS))
    assert folder_bytes(tmp_path / "s") == folder_bytes(tmp_path / "whole")


def test_a_file_size_limit_is_said(tmp_path: Path) -> None:
    with file_size_limit(20_000), pytest.raises(ConfigError, match=r"cannot write .*shard-00000.h5"):
        write(tmp_path / "s", make_traces(LENGTHS))
    assert ActivationStore.open(tmp_path / "s").n_traces == 0


def test_a_truncated_shard_is_refused(made: Made) -> None:
    file = made.store.path / "shard-00001.h5"
    size = file.stat().st_size
    os.truncate(file, size - 100)
    sentence = rf"shard-00001.h5 is truncated: {size - 100} bytes, expected {size}"
    with pytest.raises(FormatError, match=sentence):
        ActivationStore.open(made.store.path)
    with pytest.raises(FormatError, match=sentence):
        ActivationStore.create(made.store.path, spec(), [])
    assert made.store.verify() == [sentence]
    with pytest.raises(FormatError, match="truncated or replaced"):
        made.store.rows("base", SITES[0], slice(None))


def test_missing_files_are_all_named(made: Made) -> None:
    (made.store.path / "shard-00000.h5").unlink()
    (made.store.path / "shard-00003.h5").unlink()
    with pytest.raises(FormatError, match=r"shard-00000.h5 is missing; shard-00003.h5 is missing; restore the files"):
        ActivationStore.open(made.store.path)


def test_lost_labels_can_be_put_again(made: Made) -> None:
    (made.store.path / made.store.manifest.labels[ANNOTATOR].file).unlink()
    store = ActivationStore.open(made.store.path)
    assert len(store.verify()) == 1
    with pytest.raises(FormatError, match=r"is missing or was changed; restore it or put the labels again"):
        store.labels(ANNOTATOR)
    store.put_labels(ANNOTATOR, made.sentences)
    assert ActivationStore.open(made.store.path).labels(ANNOTATOR) == made.sentences
    assert store.verify() == []


def test_any_flipped_byte_is_found(made: Made, rng: np.random.Generator) -> None:
    file = made.store.path / "shard-00002.h5"
    data = file.read_bytes()
    for place in [0, len(data) - 1, *rng.integers(len(data), size=20).tolist()]:
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed)
        assert ActivationStore.open(made.store.path).verify() == [
            "shard-00002.h5 was changed: its sha256 differs from the manifest"
        ]
    file.write_bytes(data)
    assert made.store.verify() == []


def test_a_shard_of_another_store_is_refused(made: Made, make_store: Callable[..., ActivationStore]) -> None:
    other = make_store("other", dtype="float16")
    source, target = (s.path / "shard-00000.h5" for s in (other, made.store))
    size = target.stat().st_size
    target.write_bytes(source.read_bytes().ljust(size, b"\0")[:size])
    with pytest.raises(FormatError, match=r"shard-00000.h5 (is not the shard that the manifest|cannot be read)"):
        ActivationStore.open(made.store.path).rows("base", SITES[0], [0])


def edit(path: Path, change: Callable[[dict], None]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(version=2), "is of format version 2, this multidir reads up to 1; update multidir"),
        (lambda m: m.pop("shards"), "has no 'shards'; restore it"),
        (lambda m: m["spec"].pop("d"), "the spec in the manifest is broken: KeyError"),
        (lambda m: m["shards"][0].pop("sha256"), "is broken: not a ShardRecord: missing sha256"),
        (lambda m: m["shards"][0].update(sha256="0"), "was edited: its content hash does not fit"),
        (lambda m: m["shards"].reverse(), "was edited: its content hash does not fit"),
    ],
)
def test_manifests_of_other_versions_or_edited_are_refused(
    made: Made, change: Callable[[dict], None], sentence: str
) -> None:
    edit(made.store.path, change)
    with pytest.raises(FormatError, match=sentence):
        ActivationStore.open(made.store.path)


def test_offsets_that_do_not_fit_the_file_are_refused(made: Made) -> None:
    edit(made.store.path, lambda m: m["shards"][0]["offsets"].update({"acts/base/L2.resid_post": 4096}))
    store = ActivationStore.open(made.store.path)
    with pytest.raises(FormatError, match=r"shard-00000.h5 is not the shard that the manifest describes"):
        store.rows("base", SITES[0], [0])


def without_rights(work: Callable[[], None]) -> str:
    """Run in a process that may not write where root may, and return the error's text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = "nothing was refused"
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            work()
        except MultidirError as error:
            text = f"{type(error).__name__}: {error}"
        except BaseException as error:
            text = repr(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as file:
        return file.read()


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A store that everybody may read and nobody may write."""
    with tempfile.TemporaryDirectory() as folder:
        store = write(Path(folder) / "s", make_traces(LENGTHS)).path
        for path in (Path(folder), store, *store.iterdir()):
            path.chmod(0o555)
        yield store
        for path in (Path(folder), store):
            path.chmod(0o755)


def test_a_read_only_store_is_read_and_not_written(read_only: Path) -> None:
    def read() -> None:
        store = ActivationStore.open(read_only)
        trace = make_traces(LENGTHS)[3]
        rows = store.rows("base", SITES[0], store.trace_rows("t3"))
        right = np.array_equal(rows, values_of(trace, ("base", SITES[0])))
        raise FormatError(f"read right: {right}, problems: {store.verify()}")

    assert without_rights(read) == "FormatError: read right: True, problems: []"
    for act in (
        lambda: ActivationStore.create(read_only, spec(), []),
        lambda: ActivationStore.open(read_only).put_labels(ANNOTATOR, []),
        lambda: ActivationStore.create(read_only / "deeper", spec(), []),
    ):
        assert re.fullmatch(
            r"ConfigError: cannot write .*: the folder is read-only for this user; choose another folder",
            without_rights(act),
        )


def test_a_shard_that_cannot_be_written_ends_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(direct.os, "pwrite", broken)
    traces = make_traces([40, 40])
    writer = ActivationStore.create(tmp_path / "s", spec(), traces)
    with pytest.raises(ConfigError, match=r"cannot write .*shard-00000.h5: .*Input/output error"):
        writer.append("t0", activations_of(traces[0], spec()))
    assert not (tmp_path / "s" / "lock").exists()
    with pytest.raises(ConfigError, match=r"writer of .* is closed; open another one"):
        writer.append("t0", activations_of(traces[0], spec()))
    writer.close()
    monkeypatch.undo()
    assert not ActivationStore.open(tmp_path / "s").manifest.complete
