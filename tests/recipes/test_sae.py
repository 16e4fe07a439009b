"""From a store to dictionaries to what is known about them, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from multidir.cli import main
from multidir.sae.folder import read_folder
from tests.sae.planted import planted_store

SIZES = ["--width", "64", "--k", "4", "--batch", "128", "--lr", "3e-3", "--warmup", "5", "--held-out", "0.3"]
FEW = ["--steps", "120", "--aux", "0.1", "--dead-after", "2000", "--dtype", "float32", "--site", "L2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and, in `runs`, dictionaries of three architectures and two seeds."""
    folder = tmp_path_factory.mktemp("sae")
    planted_store(folder / "store", traces=40, tokens=60)
    kinds = ["--arch", "batchtopk", "topk", "crosscoder", "--seed", "0", "1", "--model", "reasoning"]
    command = ["run", "train/sae", "--store", str(folder / "store"), "--runs", str(folder / "runs")]
    assert main([*command, *SIZES, *FEW, *kinds]) == 0
    return folder


def run_of(place: Path, recipe: str) -> Path:
    (found,) = (place / "runs" / recipe).iterdir()
    return found


def test_every_dictionary_is_a_folder_with_its_origin(place: Path) -> None:
    run = run_of(place, "train/sae")
    folders = sorted(file.parent.name for file in run.glob("*/cfg.json"))
    assert len(folders) == 6
    config = json.loads((run / "reasoning-L2.resid_post-batchtopk-w64-k4-s1" / "cfg.json").read_text())
    assert config["architecture"] == "jumprelu"
    facts = config["metadata"]
    assert facts["model_name"] == "the/reasoning"
    assert facts["hook_name"] == "blocks.2.hook_resid_post"
    assert len(facts["store_hash"]) == 64
    assert facts["multidir"]["seed"] == 1
    assert facts["context_size"] == 60
    both = read_folder(run / "base-reasoning-L2.resid_post-crosscoder-w64-k4-s0")
    assert both.d == 32
    assert both.facts["model_name"] == "the/base + the/reasoning"


def test_quality_is_measured_on_prompts_held_out(place: Path) -> None:
    table = pd.read_csv(run_of(place, "train/sae") / "dictionaries.csv")
    assert set(table["architecture"]) == {"batchtopk", "topk", "crosscoder"}
    assert (table["fvu"] < 0.6).all()
    assert ((table["fvu_low"] < table["fvu"]) & (table["fvu"] < table["fvu_high"])).all()
    assert table["l0"].between(3.4, 4.6).all()
    assert (table["clusters"] == 3).all()
    curve = pd.read_csv(run_of(place, "train/sae") / "curve.csv")
    assert set(curve["name"]) == set(table["name"])
    assert {file.name for file in (run_of(place, "train/sae") / "figures").glob("*.svg")} == {
        "training_curves.svg",
        "sparsity_frontier.svg",
    }


def test_a_second_run_repeats_nothing_and_a_missing_store_is_said(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "train/sae", "--store", str(place / "nowhere"), "--runs", str(place / "runs")]) == 1
    assert "does not exist" in capsys.readouterr().err
    command = ["run", "train/sae", "--store", str(place / "store"), "--runs", str(place / "other"), *FEW, *SIZES]
    assert main([*command, "--site", "L7"]) == 1
    assert "base L2.resid_post" in capsys.readouterr().err
    assert main([*command, "--k", "65"]) == 1
    assert "k = 65 active latents" in capsys.readouterr().err


def test_scale_and_model_go_into_the_weights(place: Path) -> None:
    """The reasoning rows of this store are twice the base rows, and so are a crosscoder's decoder halves."""
    both = read_folder(run_of(place, "train/sae") / "base-reasoning-L2.resid_post-crosscoder-w64-k4-s0")
    lengths = both.dec.reshape(64, 2, 16).norm(dim=2)
    firing = lengths.min(1).values > 0.2
    ratio = lengths[firing, 1] / lengths[firing, 0]
    assert ratio.median() == pytest.approx(2, rel=0.05)


def test_the_reference_trainer_learns_from_the_same_rows(place: Path, saelens: object) -> None:
    command = ["run", "train/sae", "--store", str(place / "store"), "--runs", str(place / "lens"), *SIZES, *FEW]
    assert main([*command, "--backend", "sae_lens", "--arch", "topk"]) == 0
    (run,) = (place / "lens" / "train" / "sae").iterdir()
    table = pd.read_csv(run / "dictionaries.csv")
    assert table["fvu"][0] < 0.9
    assert read_folder(next(run.glob("*/cfg.json")).parent).facts["multidir"]["backend"] == "sae_lens"
    assert [file.name for file in (run / "figures").glob("*.svg")] == ["sparsity_frontier.svg"]
