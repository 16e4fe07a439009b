"""A folded checkpoint of the tiny pair, made by the recipe and loaded like any other model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from multidir.cli import main
from multidir.models.hooks import residual_hook
from multidir.models.load import load_model
from multidir.models.shape import model_shape
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.store.directions import save_directions
from multidir.store.runs import open_run

IDS = torch.arange(40)[None] + 20


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two directions for the tiny pair, with the mean residual norm that a relative dose needs."""
    rng = np.random.default_rng(5)
    made = DirectionSet(Direction.from_vector(name, rng.normal(size=128), Site(2)) for name in "ab")
    with open_run(tmp_path_factory.mktemp("runs"), "train/directions", {}) as run:
        save_directions(run.file("directions.safetensors"), made)
        run.file("norms.json").write_text(json.dumps({"reasoning": {"L2.resid_post": 4000.0}}))
    return run.path


def run(came: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> Path:
    assert main(["run", "train/fold", "--directions", str(came), "--runs", str(tmp_path), *more]) == 0
    return Path(capsys.readouterr().out.strip())


def logits(source: str | Path) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = load_model(source, "reasoning").model(IDS).logits
        return found


def test_an_addition_is_the_hooked_model_in_any_loader(
    came: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(came, tmp_path, capsys, "--names", "a", "--dose", "0.5")
    lm = load_model("shipped:tiny/reasoning-and", "reasoning")
    unit = np.random.default_rng(5).normal(size=128)
    vector = torch.as_tensor(2000 * unit / np.linalg.norm(unit), dtype=torch.float32)
    with residual_hook(lm.model, Site(2), lambda h: h + vector), torch.inference_mode():
        expected = lm.model(IDS).logits
    torch.testing.assert_close(logits(made / "model"), expected, rtol=1e-4, atol=1e-4)
    assert float((expected - logits("shipped:tiny/reasoning-and")).abs().max()) > 0.1
    assert main(["show", str(made)]) == 0
    assert "Equal to adding a constant at L2.resid_post, at all positions: logits differ by" in capsys.readouterr().out
    assert json.loads((made / "agreement.json").read_text())["difference"] < 1e-5
    assert (made / "model" / "chat_template.jinja").is_file()


def test_a_projection_in_half_precision(came: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(came, tmp_path, capsys, "--operator", "project_out", "--save-as", "bfloat16")
    assert model_shape(str(made / "model")).dtype == "bfloat16"
    assert (
        "projecting 2 dimensions out of all that the embedding and blocks 0 to 5 write"
        in (json.loads((made / "manifest.json").read_text())["notes"]["headline"])
    )


def test_a_site_without_a_place_for_it_is_one_sentence(
    came: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--operator", "project_out", "--site", "L2"]
    assert main(["run", "train/fold", "--directions", str(came), "--runs", str(tmp_path), *options]) == 1
    assert "got 'everywhere' with L2.resid_post" in capsys.readouterr().err
