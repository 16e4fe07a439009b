"""Run folders: the same question is asked once, and a run that did not end well never looks complete."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from multidir.errors import ConfigError, FormatError
from multidir.store.atomic import write_json_atomic
from multidir.store.locks import FolderLock
from multidir.store.manifest_file import read_manifest
from multidir.store.run_files import input_hash, verify_run
from multidir.store.runs import open_run

CONFIG = {"layers": [10, 11], "seed": 7, "nested": {"judge_seed": 1}, "compute": {"batch": 4}, "store": Path("a/b")}


def finished(root: Path, config: dict[str, object] = CONFIG, text: str = "x") -> Path:
    with open_run(root, "analysis/offsets", config, slug="tiny") as run:
        run.file("figures/one.csv").write_text(text)
    return run.path


def test_a_run_is_named_and_complete(tmp_path: Path) -> None:
    run = open_run(tmp_path, "analysis/offsets", CONFIG, slug="tiny")
    assert not run.path.exists()
    assert run.path.parent == tmp_path / "analysis" / "offsets"
    assert run.path.name.split("_")[1] == "tiny"
    with run:
        assert read_manifest(run.path)["status"] == "started"
        run.file("t.jsonl").write_text("{}\n")
        run.note(skipped=3)
    manifest = read_manifest(run.path)
    assert run.complete
    assert manifest["status"] == "complete"
    assert set(manifest["outputs"]) == {"config.json", "t.jsonl"}
    assert manifest["seeds"] == {"seed": 7, "nested.judge_seed": 1}
    assert manifest["notes"] == {"skipped": 3}
    assert manifest["versions"]["python"]
    assert manifest["seconds"] >= 0
    assert not (run.path / "lock").exists()
    assert verify_run(run.path) == []


def test_manifest_names_no_place_of_this_machine(tmp_path: Path) -> None:
    run = open_run(tmp_path, "r", {}, {"data": _file(tmp_path / "in.txt")})
    with pytest.raises(ValueError, match="bad"), run:
        raise ValueError(f"bad {run.path} and {Path.home() / 'x'}")
    text = (run.path / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text


def _file(path: Path, text: str = "data") -> Path:
    path.write_text(text)
    return path


def test_the_same_science_is_the_same_run(tmp_path: Path) -> None:
    path = finished(tmp_path)
    again = open_run(
        tmp_path, "analysis/offsets", {**CONFIG, "compute": {"batch": 9}, "store": Path("c")}, slug="other"
    )
    assert again.path == path
    assert again.complete
    with pytest.raises(ConfigError, match="is complete; use its outputs"), again:
        pass


@pytest.mark.parametrize("change", [{"seed": 8}, {"layers": [10]}, {"new": 1}])
def test_other_science_is_another_run(tmp_path: Path, change: dict[str, object]) -> None:
    path = finished(tmp_path)
    other = open_run(tmp_path, "analysis/offsets", {**CONFIG, **change})
    assert other.path != path
    assert not other.complete


def test_inputs_count_by_content_not_by_place(tmp_path: Path) -> None:
    one, two = _file(tmp_path / "a.txt"), _file(tmp_path / "b.txt")
    first = open_run(tmp_path, "r", {}, {"in": one})
    assert open_run(tmp_path, "r", {}, {"in": two}).path == first.path
    two.write_text("changed")
    assert open_run(tmp_path, "r", {}, {"in": two}).path != first.path


def test_a_run_as_input_hashes_its_outputs(tmp_path: Path) -> None:
    one, two = finished(tmp_path / "1"), finished(tmp_path / "2", {**CONFIG, "compute": {}})
    three = finished(tmp_path / "3", text="y")
    assert input_hash(one) == input_hash(two)
    assert input_hash(one) != input_hash(three)


def test_a_store_as_input_gives_its_content_hash(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "manifest.json", {"format": "any", "version": 1, "content_hash": "abc"})
    assert input_hash(tmp_path) == "abc"


def test_unusable_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; give a run"):
        input_hash(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"has no manifest\.json, config\.json or cfg\.json"):
        input_hash(tmp_path / "empty")
    run = open_run(tmp_path, "r", {})
    with pytest.raises(RuntimeError), run:
        raise RuntimeError
    with pytest.raises(ConfigError, match="is 'failed', not complete; finish that run first"):
        input_hash(run.path)


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_a_run_that_stops_says_so_and_can_be_continued(tmp_path: Path, error: type[BaseException], status: str) -> None:
    run = open_run(tmp_path, "r", {})
    with pytest.raises(error), run:  # noqa: PT012 - the block is the test
        run.file("kept").write_text("unit 1")
        raise error("why")
    manifest = read_manifest(run.path)
    assert (manifest["status"], manifest["error"]) == (status, f"{error.__name__}: why")
    assert verify_run(run.path) == [f"the run is {status!r}, not complete"]
    again = open_run(tmp_path, "r", {})
    assert again.path == run.path
    with again:
        assert again.file("kept").read_text() == "unit 1"
    assert again.complete
    assert "error" not in again.manifest
    assert again.manifest["attempts"] == 2


def test_changed_outputs_are_found(tmp_path: Path) -> None:
    path = finished(tmp_path)
    (path / "figures" / "one.csv").write_text("y")
    (path / "added").write_text("z")
    assert verify_run(path) == [
        "figures/one.csv was changed after the run: its hash differs from the manifest",
        "added was added after the run",
    ]
    (path / "figures" / "one.csv").unlink()
    assert verify_run(path)[0] == "figures/one.csv is missing"
    assert not open_run(tmp_path, "analysis/offsets", CONFIG).complete


def test_bad_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="slug 'A b'"):
        open_run(tmp_path, "r", {}, slug="A b")
    run = open_run(tmp_path, "r", {})
    for name in ("/x", "../x", "manifest.json"):
        with pytest.raises(ConfigError, match="cannot be an output"):
            run.file(name)


def test_broken_manifests_have_their_sentences(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="has no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(FormatError, match="names no format"):
        read_manifest(tmp_path)
    write_json_atomic(tmp_path / "manifest.json", {"format": "multidir-run", "version": 99})
    with pytest.raises(FormatError, match="version 99, this multidir reads up to 1; update"):
        read_manifest(tmp_path, "multidir-run", 1)


def test_two_writers_of_one_run_are_refused(tmp_path: Path) -> None:
    run, other = open_run(tmp_path, "r", {}), open_run(tmp_path, "r", {})
    with run, pytest.raises(ConfigError, match=f"run .* is being written by process {os.getpid()}"), other:
        pass
    assert run.complete


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from multidir.store.locks import FolderLock;"
        "lock = FolderLock(Path(sys.argv[1]), 'run'); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ConfigError, match=f"process {process.pid}; wait for it"):
            FolderLock(tmp_path, "run")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "lock").exists()
    lock = FolderLock(tmp_path, "run")
    assert (tmp_path / "lock").read_text() == str(os.getpid())
    lock.release()
    lock.release()
    assert not (tmp_path / "lock").exists()
