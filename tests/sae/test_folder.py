"""What is written is what SAELens opens, bit for bit, with every fact kept; what is broken is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.records.site import Site
from multidir.sae.dictionary import Dictionary
from multidir.sae.export import calibrated
from multidir.sae.folder import hook_name, read_folder, site_of, write_folder
from multidir.sae.foreign import load_dictionary, settle
from multidir.sae.latents import latent_directions
from multidir.sae.quality import mean_l0, measure_quality
from tests.sae.planted import ARCHITECTURES, dictionary_of, features, learner_of, sparse_rows, spec_of

FACTS = {
    "model_name": "some/model",
    "hook_name": "blocks.10.hook_resid_post",
    "multidir": {"store_hash": "abc", "n": 3},
}


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    return (sparse_rows(features(30, 16), 900, 3, seed=2) * 7).float()


def trained(architecture: str, rows: torch.Tensor, steps: int = 30) -> Dictionary:
    scale = 1 / rows.square().mean().sqrt()
    learner = learner_of(spec_of(architecture), rows[:300] * scale, torch.float32, lr=3e-3)
    for _ in range(steps):
        learner.step(rows[:300] * scale)
    return dictionary_of(learner, scale.expand(16), rows[300:600], FACTS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_comes_back_with_the_same_bits(architecture: str, rows: torch.Tensor, tmp_path: Path) -> None:
    made = trained(architecture, rows)
    write_folder(tmp_path / "sae", made)
    found = read_folder(tmp_path / "sae")
    assert torch.equal(found.encode(rows), made.encode(rows))
    assert torch.equal(found.decode(found.encode(rows)), made.decode(made.encode(rows)))
    assert FACTS.items() <= found.facts.items()
    assert site_of(found.facts) == Site(10)
    torch.testing.assert_close(found.dec.norm(dim=1), torch.ones(40))


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "standard"])
def test_saelens_opens_it_with_difference_zero_and_all_metadata(
    architecture: str, rows: torch.Tensor, tmp_path: Path, saelens: Any
) -> None:
    made = trained(architecture, rows)
    write_folder(tmp_path / "sae", made)
    theirs = saelens.SAE.load_from_disk(tmp_path / "sae")
    acts = theirs.encode(rows)
    assert torch.equal(acts, made.encode(rows))
    assert torch.equal(theirs.decode(acts), made.decode(acts))
    assert theirs.cfg.metadata.model_name == "some/model"
    assert theirs.cfg.metadata.multidir == {"store_hash": "abc", "n": 3}


def test_without_a_version_saelens_would_drop_the_metadata(rows: torch.Tensor, tmp_path: Path, saelens: Any) -> None:
    """The trap that the version in the metadata avoids."""
    write_folder(tmp_path, trained("topk", rows))
    config = json.loads((tmp_path / "cfg.json").read_text())
    del config["metadata"]["sae_lens_version"]
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    assert saelens.SAE.load_from_disk(tmp_path).cfg.metadata.multidir is None


@pytest.mark.parametrize("architecture", ["batchtopk", "jumprelu", "matryoshka", "crosscoder"])
@pytest.mark.parametrize("steps", [1, 50])
def test_l0_is_right_after_reloading_at_any_run_length(architecture: str, steps: int, tmp_path: Path) -> None:
    """sae_lens 6.54.12 gives 50.4 for a target of 8 after 100 steps; dictionary_learning 0.1.0 gives 99 after 300."""
    rows = (sparse_rows(features(30, 16), 12_300, 3, seed=4) * 7).float()
    scale = 1 / rows.square().mean().sqrt()
    learner = learner_of(spec_of(architecture), rows[:300] * scale, torch.float32, lr=3e-3)
    for _ in range(steps):
        learner.step(rows[:300] * scale)
    write_folder(tmp_path, dictionary_of(learner, scale.expand(16), rows[300:6300], {}))
    assert mean_l0(read_folder(tmp_path), rows[6300:]) == pytest.approx(4, rel=0.02)


def test_calibration_is_exact_on_its_own_rows(rows: torch.Tensor) -> None:
    made = trained("batchtopk", rows)
    for k in (0.5, 1, 3.3, 12):
        assert mean_l0(calibrated(made, rows, k), rows) == pytest.approx(k, abs=1 / len(rows))
    everything = calibrated(made, rows, 40)
    assert not everything.threshold.any()
    with pytest.raises(DesignError, match="on at least one row"):
        calibrated(made, rows[:0], 3)


def test_a_topk_dictionary_keeps_one_scale(rows: torch.Tensor) -> None:
    learner = learner_of(spec_of("topk"), rows, torch.float32)
    with pytest.raises(DesignError, match="channels share one scale"):
        dictionary_of(learner, torch.arange(1, 17), rows, {})


@pytest.mark.parametrize(("architecture", "scales"), [("crosscoder", (0.2, 0.05)), ("topk", (0.2, 0.2))])
def test_folding_scale_and_lengths_changes_no_reconstruction(
    architecture: str, scales: tuple[float, float], rows: torch.Tensor
) -> None:
    scale = torch.tensor(scales).repeat_interleave(8)  # a crosscoder's two models
    learner = learner_of(spec_of(architecture), rows * scale, torch.float32)
    with torch.no_grad():
        learner.weights.dec *= torch.linspace(0.5, 2, 40)[:, None]
    for _ in range(20):
        learner.step(rows * scale)
    made = dictionary_of(learner, scale, rows, {})
    mine, active = learner.reconstruction(rows * scale)
    theirs = made.decode(made.encode(rows)) * scale
    assert len(active.values) == 4 * len(rows)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def edit(path: Path, **changes: Any) -> None:
    config = json.loads((path / "cfg.json").read_text())
    (path / "cfg.json").write_text(json.dumps({**config, **changes}))


def test_broken_folders_say_what_is_wrong(rows: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder; give one, or RELEASE:ID"):
        load_dictionary(tmp_path / "absent")
    with pytest.raises(FormatError, match=r"no SAE folder: it has no cfg.json"):
        load_dictionary(tmp_path)
    write_folder(tmp_path, trained("batchtopk", rows))
    weights = tmp_path / "sae_weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-4] + b"\0\0\0\0")
    with pytest.raises(FormatError, match=r"is not the file that cfg.json was written with"):
        load_dictionary(tmp_path)
    weights.write_bytes(data[:100])
    with pytest.raises(FormatError, match="cannot be read as safetensors"):
        load_dictionary(tmp_path)
    (tmp_path / "cfg.json").write_text("[1]")
    with pytest.raises(FormatError, match="expected a JSON object, got list"):
        load_dictionary(tmp_path)


def test_rows_of_another_width_are_refused(rows: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"reads rows of width 16, got \(900, 8\)"):
        trained("topk", rows, 1).encode(rows[:, :8])
    with pytest.raises(ConfigError, match=r"enc_bias is \(3,\), expected \(4,\); threshold is missing"):
        Dictionary("jumprelu", torch.zeros(2, 4), torch.zeros(3), torch.zeros(4, 2), torch.zeros(2))


def test_fvu_is_the_ratio_of_sums(rows: torch.Tensor) -> None:
    made = trained("topk", rows)
    found = measure_quality(made, rows, cluster=torch.arange(900).numpy() // 30)
    error = (made.decode(made.encode(rows)) - rows).double()
    assert found.fvu == pytest.approx(
        float(error.square().sum() / (rows - rows.mean(0)).double().square().sum()), rel=1e-5
    )
    assert found.l0 == pytest.approx(float((made.encode(rows) > 0).sum() / 900))
    assert found.density.sum() == pytest.approx(found.l0)
    assert len(found.rows) == 30
    with pytest.raises(DesignError, match="rows are the same"):
        measure_quality(made, rows[:1].expand(5, 16))


def test_a_perfect_dictionary_explains_everything_and_an_empty_one_nothing(rows: torch.Tensor) -> None:
    eye = torch.eye(16)
    both = Dictionary("standard", torch.cat([eye, -eye], 1), torch.zeros(32), torch.cat([eye, -eye]), torch.zeros(16))
    assert measure_quality(both, rows).fvu < 1e-10
    nothing = Dictionary("standard", torch.zeros(16, 1), torch.zeros(1), torch.zeros(1, 16), rows.mean(0))
    assert measure_quality(nothing, rows).fvu == pytest.approx(1, rel=1e-5)
    assert measure_quality(nothing, rows).silent == 1


def test_latents_become_directions(rows: torch.Tensor) -> None:
    made = trained("topk", rows)
    found = latent_directions(made, [3, 7], "base")
    assert found.names == ("base/3", "base/7")
    assert found["base/7"].site == Site(10)
    assert found["base/7"].source["model_name"] == "some/model"
    torch.testing.assert_close(torch.from_numpy(found.matrix()).float(), made.dec[[3, 7]])
    with pytest.raises(ConfigError, match=r"latents \[40\] are not there"):
        latent_directions(made, [40])
    with pytest.raises(ConfigError, match="does not say where it reads"):
        latent_directions(Dictionary("standard", made.enc, made.enc_bias, made.dec, made.dec_bias), [0])


def test_hook_names() -> None:
    assert hook_name(Site(3, "resid_pre")) == "blocks.3.hook_resid_pre"
    assert site_of({"hook_name": "blocks.3.hook_resid_pre"}) == Site(3, "resid_pre")
    assert site_of({"hook_name": "blocks.3.attn.hook_z"}) is None
    assert site_of({}) is None


def test_settling_finds_the_unit_of_a_threshold(rows: torch.Tensor) -> None:
    made = trained("batchtopk", rows)
    right = {**made.facts, "l0": 4.0}
    as_is, tried = settle(Dictionary(**{**vars(made), "facts": right}), rows)
    assert list(tried) == ["as loaded"]
    longer = {"dec": made.dec * 3, "enc": made.enc / 3, "enc_bias": made.enc_bias / 3, "facts": right}
    found, tried = settle(Dictionary(**{**vars(made), **longer}), rows)
    assert len(tried) == 2
    assert mean_l0(found, rows) == pytest.approx(mean_l0(as_is, rows))
    with pytest.raises(ConfigError, match="should have about 30 active latents"):
        settle(made, rows, expected=30)
