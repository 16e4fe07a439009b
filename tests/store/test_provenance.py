"""Fingerprints follow what a model computes, not where it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from multidir.errors import ModelError
from multidir.store import provenance
from multidir.store.provenance import fingerprint_model, git_revision, versions


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTIDIR_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        (folder / name).write_text(name)
    return folder


def test_versions_name_what_is_installed() -> None:
    assert {"python", "numpy", "torch", "transformers", "h5py"} <= set(versions())


def test_fingerprint_is_of_content(model: Path) -> None:
    first = fingerprint_model(model)
    (model / "README.md").write_text("other")
    shutil.copytree(model, model.parent / "copy")
    assert fingerprint_model(model) == fingerprint_model(model.parent / "copy") == first


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_fingerprint_changes_with_each_part(model: Path, name: str) -> None:
    first = fingerprint_model(model)
    (model / name).write_text("changed")
    assert fingerprint_model(model) != first


def test_hashes_are_remembered_by_size_and_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint_model(model)
    monkeypatch.setattr(provenance, "sha256_file", lambda _: pytest.fail("read again"))
    assert fingerprint_model(model) == first


def test_an_unwritable_cache_costs_only_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model.parent / "file").write_text("")
    first = fingerprint_model(model)
    monkeypatch.setenv("MULTIDIR_CACHE", str(model.parent / "file"))
    assert fingerprint_model(model) == first


@pytest.mark.parametrize(("gone", "sentence"), [("config.json", "no config.json"), ("model.safetensors", "no weights")])
def test_a_folder_without_a_model_is_refused(model: Path, gone: str, sentence: str) -> None:
    (model / gone).unlink()
    with pytest.raises(ModelError, match=sentence):
        fingerprint_model(model)


def test_revision_is_a_commit_or_unknown() -> None:
    revision = git_revision()
    assert revision is None or len(revision.rstrip("+")) == 40
