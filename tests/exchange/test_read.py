"""One function for every kind of file, and directions of another model refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from multidir.errors import ConfigError, FormatError, ModelError
from multidir.exchange.control_vectors import write_control_vector
from multidir.exchange.read import read_directions
from multidir.models.shape import model_shape
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.steering import steer
from multidir.store.atomic import sha256_file
from multidir.store.directions import load_directions, save_directions
from tests.exchange.test_sae_decoder import make
from tests.exchange.vectors import GOLDEN, some
from tests.models.tiny import tiny_lm


def test_every_kind_is_told_apart_and_remembers_its_file(tmp_path: Path) -> None:
    save_directions(tmp_path / "directions.safetensors", some())
    write_control_vector(tmp_path / "v.gguf", some())
    torch.save({n: torch.ones(6) for n in (1, 2, 3)}, tmp_path / "v.pt")
    save_file({"base/x": np.ones(6)}, tmp_path / "published.safetensors")
    sae = make(tmp_path / "sae")
    assert len(read_directions(tmp_path)) == 3
    assert len(read_directions(tmp_path / "directions.safetensors", sites=[Site(2)])) == 1
    assert read_directions(sae, latents=[3, 4]).names == ("sae/latent 3", "sae/latent 4")
    assert read_directions(tmp_path / "published.safetensors", site=Site(10))["base/x"].site == Site(10)
    for name, rows in (("v.gguf", None), ("v.pt", "blocks")):
        for item in read_directions(tmp_path / name, rows=rows):  # type: ignore[arg-type]
            assert item.source["sha256"] == sha256_file(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"site": Site(1)}, r"says itself where its vectors belong; leave out site=L1\.resid_post"),
        ({"rows": "blocks"}, "leave out rows='blocks'"),
        ({"latents": [1]}, "latents are for a folder of SAELens"),
    ],
)
def test_options_that_a_file_cannot_use_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_directions(GOLDEN / "repeng.gguf", **options)  # type: ignore[arg-type]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="of no kind that holds directions"):
        read_directions(tmp_path / "x.npy")
    with pytest.raises(FormatError, match="of no kind that holds directions"):
        read_directions(tmp_path)


def test_directions_of_another_model_are_refused_by_name() -> None:
    tiny = model_shape("shipped:tiny/base")
    assert (tiny.n_layers, tiny.d) == (6, 128)
    good = Direction.from_vector("good", np.ones(128), Site(5))
    wide = Direction.from_vector("wide", np.ones(4096), Site(1))
    deep = Direction.from_vector("deep", np.ones(128), Site(6))
    tiny.check([good])
    with pytest.raises(
        ConfigError, match=r"6 blocks \(L0 to L5\) and width 128: 'wide' has width 4096; 'deep' is at L6\.resid_post;"
    ):
        tiny.check([good, wide, deep])
    with pytest.raises(ModelError, match="does not exist"):
        model_shape("./nowhere")


def test_a_loaded_file_of_another_model_does_not_steer(tmp_path: Path) -> None:
    """The file carries width and site, and both are held against the model before it runs."""
    lm = tiny_lm()
    for item, sentence in (
        (Direction.from_vector("v", np.ones(31), Site(1)), "direction 'v' has width 31, tiny random Llama has 32"),
        (Direction.from_vector("v", np.ones(32), Site(4)), r"L4\.resid_post is beyond this model, whose 4 blocks"),
    ):
        save_directions(tmp_path / "d.safetensors", DirectionSet([item]))
        (loaded,) = load_directions(tmp_path / "d.safetensors")
        with pytest.raises(ConfigError, match=sentence), steer(lm, Intervention(loaded, Dose(1, "residual"))):
            pass
