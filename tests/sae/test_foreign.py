"""Dictionaries of others come in with the right unit, the right model name, and an L0 that is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from multidir.errors import ConfigError, FormatError
from multidir.sae.dictionary import Dictionary
from multidir.sae.folder import write_folder
from multidir.sae.foreign import ForeignDictionary, load_dictionary, settle
from multidir.sae.quality import mean_l0, measure_quality
from tests.sae.planted import dictionary_of, features, learner_of, sparse_rows, spec_of

R1 = "llama_scope_r1_distill"
R1_ID = "l10r_800m_openr1_math"
D, K = 16, 4


@pytest.fixture(scope="module")
def trained() -> tuple[Dictionary, torch.Tensor]:
    """A dictionary of rows of mean square 1, and more such rows."""
    rows = sparse_rows(features(30, D), 1500, 3, seed=2).float()
    learner = learner_of(spec_of("batchtopk"), rows[:500], torch.float32, lr=3e-3)
    for _ in range(40):
        learner.step(rows[:500])
    return dictionary_of(learner, torch.ones(D), rows[500:1000], {}), rows[1000:]


@pytest.fixture
def hub(tmp_path: Path, saelens: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the hub: files of a repository lie in this folder under their names in it."""

    def download(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
        found = tmp_path / repo_id.replace("/", "--") / subfolder / filename
        if not found.exists():
            raise LocalEntryNotFoundError(f"{repo_id} has no {subfolder}/{filename}")
        return str(found)

    monkeypatch.setattr("sae_lens.loading.pretrained_sae_loaders.hf_hub_download", download)
    return tmp_path


def publish_r1(hub: Path, made: Dictionary) -> None:
    """The folder of a Llama-Scope-R1-Distill dictionary: trained on rows of mean norm sqrt(d), raw threshold logs."""
    folder = hub / "fnlp--Llama-Scope-R1-Distill" / "0-Slimpajama-800M-OpenR1-Math-220k" / "L10R"
    folder.mkdir(parents=True)
    facts = {"d_model": D, "expansion_factor": made.width // D, "hook_point_in": "blocks.10.hook_resid_post"}
    (folder / "config.json").write_text(json.dumps(facts))
    assert made.threshold is not None
    tensors = {**as_llama_scope(made), "log_jumprelu_threshold": made.threshold.log()}
    save_file(tensors, folder / "sae_weights.safetensors")


def as_llama_scope(made: Dictionary) -> dict[str, torch.Tensor]:
    """Weights under the names of the Llama Scope family, whose input is not centred."""
    tensors = {
        "encoder.weight": made.enc.T,
        "encoder.bias": made.enc_bias - made.dec_bias @ made.enc,
        "decoder.weight": made.dec.T,
        "decoder.bias": made.dec_bias,
    }
    return {name: value.contiguous() for name, value in tensors.items()}


def wide(made: Dictionary) -> Dictionary:
    """The same with 8 more latents that never fire: this family's width is a multiple of its input's."""
    more = 48 - made.width
    assert made.threshold is not None
    return Dictionary(
        "jumprelu",
        torch.cat([made.enc, torch.zeros(D, more)], 1),
        torch.cat([made.enc_bias, torch.full((more,), -1.0)]),
        torch.cat([made.dec, torch.eye(D)[:more]]),
        made.dec_bias,
        torch.cat([made.threshold, torch.ones(more)]),
    )


def test_llama_scope_r1_comes_in_by_name_with_its_unit_and_its_model(
    hub: Path, trained: tuple[Dictionary, torch.Tensor]
) -> None:
    """sae_lens 6.54.12 writes the base model's name into the config of these; its list of releases knows better."""
    from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    made, rows = trained
    publish_r1(hub, wide(made))
    found = load_dictionary(f"{R1}:{R1_ID}")
    assert found.facts["model_name"] == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
    assert found.facts["release"] == R1
    raw = rows / get_norm_scaling_factor(R1, R1_ID)
    settled, tried = settle(found, raw, expected=K)
    assert list(tried) == ["as loaded"]
    assert mean_l0(settled, raw) == pytest.approx(mean_l0(made, rows), rel=0.01)
    assert measure_quality(settled, raw).fvu == pytest.approx(measure_quality(made, rows).fvu, rel=0.01)
    with pytest.raises(
        ConfigError, match=r"should have about 4 active latents per token, but on these rows it has .* as loaded"
    ):
        settle(found, 300 * raw + 5, expected=K)


def test_llama_scope_comes_in_by_name_with_its_unit(hub: Path, trained: tuple[Dictionary, torch.Tensor]) -> None:
    """One threshold for all latents, in the unit of unscaled rows; everything in bfloat16."""
    from sae_lens.loading.pretrained_saes_directory import get_norm_scaling_factor

    made, rows = trained
    assert made.threshold is not None
    folder = hub / "fnlp--Llama3_1-8B-Base-LXR-8x" / "Llama3_1-8B-Base-L10R-8x"
    (folder / "checkpoints").mkdir(parents=True)
    scale = get_norm_scaling_factor("llama_scope_lxr_8x", "l10r_8x")
    facts = {
        "d_model": D,
        "d_sae": made.width,
        "hook_point_in": "blocks.10.hook_resid_post",
        "jump_relu_threshold": float(made.threshold.mean()) / scale,
        "dataset_average_activation_norm": {"in": D**0.5 / scale},
    }
    (folder / "hyperparams.json").write_text(json.dumps(facts))
    save_file(as_llama_scope(made), folder / "checkpoints" / "final.safetensors")
    found = load_dictionary("llama_scope_lxr_8x:l10r_8x")
    assert found.facts["l0"] == 50
    assert found.facts["model_name"] == "meta-llama/Llama-3.1-8B"
    settled, tried = settle(found, rows / scale, expected=K)
    assert list(tried) == ["as loaded"]
    assert mean_l0(settled, rows / scale) == pytest.approx(mean_l0(made, rows), rel=0.02)
    with pytest.raises(ConfigError, match="should have about 4 active latents per token"):
        settle(found, 300 * rows + 5, expected=K)


def test_unknown_names_and_failed_downloads_are_said(hub: Path) -> None:
    with pytest.raises(ConfigError, match=r"SAELens cannot load 'l10r_9x' of 'llama_scope_r1_distill'"):
        load_dictionary(f"{R1}:l10r_9x")
    with pytest.raises(ConfigError, match="SAELens cannot load 'x' of 'nowhere'"):
        load_dictionary("nowhere:x")
    with pytest.raises(ConfigError, match="LocalEntryNotFoundError"):
        load_dictionary("someone/something:blocks.10")


def test_an_unlisted_repository_comes_in_by_its_id(hub: Path, trained: tuple[Dictionary, torch.Tensor]) -> None:
    made, rows = trained
    write_folder(hub / "someone--something" / "blocks.10", made)
    found = load_dictionary("someone/something:blocks.10")
    assert torch.equal(found.encode(rows), made.encode(rows))


def test_a_folder_trained_on_scaled_rows_needs_their_norm(
    trained: tuple[Dictionary, torch.Tensor], tmp_path: Path, saelens: Any
) -> None:
    made, rows = trained
    write_folder(tmp_path, made)
    config = json.loads((tmp_path / "cfg.json").read_text())
    config["normalize_activations"] = "expected_average_only_in"
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    raw = 7 * rows
    norm = float(raw.norm(dim=1).mean())
    found = load_dictionary(tmp_path, mean_norm=norm)
    scale = D**0.5 / norm
    torch.testing.assert_close(found.encode(raw), made.encode(raw * scale), rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match=r"expects rows of mean norm sqrt\(16\); give the mean norm"):
        load_dictionary(tmp_path)


def test_what_we_cannot_run_saelens_runs(
    trained: tuple[Dictionary, torch.Tensor], tmp_path: Path, saelens: Any
) -> None:
    made, rows = trained
    write_folder(tmp_path, made)
    config = json.loads((tmp_path / "cfg.json").read_text())
    config["normalize_activations"] = "layer_norm"
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    found, theirs = load_dictionary(tmp_path), saelens.SAE.load_from_disk(tmp_path)
    assert isinstance(found, ForeignDictionary)
    assert torch.equal(found.encode(rows), theirs.encode(rows))
    assert torch.equal(found.decode(found.encode(rows)), theirs(rows).detach())
    assert found.directions.shape == (40, D)
    assert 0 < measure_quality(found, rows).fvu < 1
    config["normalize_activations"] = "covariance_whitening"
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="was trained on whitened rows"):
        load_dictionary(tmp_path)
    config["architecture"] = "unheard_of"
    config["normalize_activations"] = "none"
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match="SAELens cannot load"):
        load_dictionary(tmp_path)
