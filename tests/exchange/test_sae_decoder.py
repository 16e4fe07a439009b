"""Decoder rows against sae_lens itself: one unit of a latent's activation adds the direction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multidir.errors import ConfigError, FormatError
from multidir.exchange.sae_decoder import read_sae_decoder
from multidir.records.site import Site

D, F = 8, 20


def make(folder: Path, **changes: object) -> Path:
    """A folder as SAELens writes it, with changed settings."""
    rng = np.random.default_rng(0)
    config: dict[str, object] = {
        "architecture": "topk",
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "k": 4,
        "rescale_acts_by_decoder_norm": False,
        "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_resid_post", "model_name": "tiny"},
    }
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps(config | changes))
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}
    weights = {name: torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()}
    save_file(weights, folder / "sae_weights.safetensors")
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sae_lens imports an old name of transformer_lens
@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_a_direction_is_what_one_unit_of_activation_adds(tmp_path: Path, rescaled: bool, architecture: str) -> None:
    from sae_lens import SAE

    changes: dict[str, object] = {"rescale_acts_by_decoder_norm": rescaled}
    folder = make(tmp_path / "sae", **(changes if architecture == "topk" else {"architecture": "standard"}))
    if architecture == "standard":
        config = json.loads((folder / "cfg.json").read_text())
        del config["k"], config["rescale_acts_by_decoder_norm"]
        (folder / "cfg.json").write_text(json.dumps(config))
    sae = SAE.load_from_disk(folder)
    for item, latent in zip(read_sae_decoder(folder, [7, 0, 19]), (7, 0, 19), strict=True):
        one = torch.zeros(1, F)
        one[0, latent] = 1
        added = (sae.decode(one) - sae.decode(torch.zeros(1, F)))[0].detach().numpy()
        np.testing.assert_allclose(item.vector, added, rtol=1e-5, atol=1e-6)
        assert (item.name, item.site, item.method) == (f"sae/latent {latent}", Site(3), "sae")
        assert item.source["latent"] == latent
        assert item.source["model"] == "tiny"


def test_only_the_wanted_rows_are_read_also_of_bfloat16(tmp_path: Path) -> None:
    folder = make(tmp_path / "sae")
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "sae_weights.safetensors").items()}
    save_file(weights, folder / "sae_weights.safetensors")
    (item,) = read_sae_decoder(folder, [5])
    np.testing.assert_array_equal(item.vector.astype(np.float32), weights["W_dec"][5].float().numpy())


def test_folders_from_before_version_6_name_the_hook_at_the_top(tmp_path: Path) -> None:
    folder = make(tmp_path / "sae", metadata=None, hook_name="blocks.11.hook_resid_pre")
    assert read_sae_decoder(folder, [1])["sae/latent 1"].site == Site(11, "resid_pre")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"metadata": {"hook_name": "blocks.3.hook_mlp_out"}},
            "reads 'blocks.3.hook_mlp_out'; multidir steers the res",
        ),
        ({"metadata": {}}, "reads None"),
        ({"normalize_activations": "expected_average_only_in"}, "normalised by 'expected_average_only_in'"),
        ({"normalize_activations": "layer_norm"}, "normalised by 'layer_norm' and its decoder is in those units"),
    ],
)
def test_other_saes_are_refused(tmp_path: Path, changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        read_sae_decoder(make(tmp_path / "sae", **changes), [1])


def test_latents_are_chosen_with_care(tmp_path: Path) -> None:
    folder = make(tmp_path / "sae")
    with pytest.raises(ConfigError, match="has latents 0 to 19; got 20, -1"):
        read_sae_decoder(folder, [3, 20, -1])
    for wanted in ([], [2, 2]):
        with pytest.raises(ConfigError, match="each once"):
            read_sae_decoder(folder, wanted)


def test_a_dead_latent_has_no_direction(tmp_path: Path) -> None:
    for rescaled in (False, True):
        folder = make(tmp_path / str(rescaled), rescale_acts_by_decoder_norm=rescaled)
        weights = load_file(folder / "sae_weights.safetensors")
        weights["W_dec"][4] = 0
        save_file(weights, folder / "sae_weights.safetensors")
        with pytest.raises(FormatError, match=r"latent 4' at L3\.resid_post has length 0"):
            read_sae_decoder(folder, [4])


def test_broken_folders_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "sae")
    (folder / "sae_weights.safetensors").write_bytes(b"xx")
    with pytest.raises(FormatError, match="cannot be read as the weights"):
        read_sae_decoder(folder, [1])
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(FormatError, match="cannot be read as the weights"):
        read_sae_decoder(folder, [1])
    for text in ("[1]", "{"):
        (folder / "cfg.json").write_text(text)
        with pytest.raises(FormatError, match=r"cfg\.json"):
            read_sae_decoder(folder, [1])
    with pytest.raises(FormatError, match=r"no readable cfg\.json"):
        read_sae_decoder(tmp_path / "nowhere", [1])
