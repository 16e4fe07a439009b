"""From a store to dictionaries to what is known about them, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from multidir.cli import main
from multidir.config import Compute
from multidir.experiments.corpus.activations import capture_store
from multidir.experiments.dictionaries.data import jobs_of
from multidir.experiments.dictionaries.settings import DictionaryChoice
from multidir.models.align import decode_text
from multidir.models.load import load_model
from multidir.organism.corpus import Mixture, base_document
from multidir.organism.solutions import Habits
from multidir.organism.worlds import load_worlds
from multidir.records.pair import TINY, Pair
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.sae.folder import read_folder
from multidir.store.directions import load_directions
from multidir.store.rows import write_rows
from multidir.store.runs import open_run
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


def test_every_combination_is_trained_once() -> None:
    """`standard` knows no k and a crosscoder no model: two dictionaries that are the same would look like evidence."""
    choice = DictionaryChoice(
        arch=("topk", "standard", "crosscoder"), k=(4, 8), width=(64,), model=("base", "reasoning")
    )
    names = [job.name for job in jobs_of(choice, 16)]
    assert len(names) == len(set(names)) == 4 + 2 + 2
    assert sum("standard" in name for name in names) == 2


def test_show_says_what_a_dictionary_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(place, "train/sae")
    assert main(["show", str(run)]) == 0
    assert "holds    a sparse autoencoder" in capsys.readouterr().out
    assert main(["show", str(run / "reasoning-L2.resid_post-topk-w64-k4-s0")]) == 0
    said = capsys.readouterr().out
    assert "64 latents over width 16, topk, k 4" in said
    assert "the/reasoning" in said


def test_quality_is_measured_on_prompts_held_out(place: Path) -> None:
    table = pd.read_csv(run_of(place, "train/sae") / "dictionaries.csv")
    assert set(table["architecture"]) == {"batchtopk", "topk", "crosscoder"}
    assert (table["fvu"] < 0.6).all()
    assert ((table["fvu_low"] < table["fvu"]) & (table["fvu"] < table["fvu_high"])).all()
    assert table["l0"].to_numpy() == pytest.approx(4, rel=0.02)
    assert (table["clusters"] == 6).all()
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


def test_dictionaries_are_measured_without_their_model(place: Path) -> None:
    run = run_of(place, "train/sae")
    command = ["run", "analysis/dictionary", "--dictionaries", str(run), "--store", str(place / "store")]
    assert main([*command, "--texts", "0", "--runs", str(place / "runs")]) == 0
    found = run_of(place, "analysis/dictionary")
    table = pd.read_csv(found / "dictionaries.csv").set_index("name")
    trained = pd.read_csv(run / "dictionaries.csv").set_index("name")
    assert table["held_out"].all()
    assert table["fvu"].to_dict() == pytest.approx(trained["fvu"].to_dict())  # the same rows, held out then as now
    pairs = pd.read_csv(found / "pairs.csv")
    same_width = {("batchtopk", "batchtopk"), ("crosscoder", "crosscoder")}
    assert same_width <= {tuple(name.split("-")[-4] for name in (row.a, row.b)) for row in pairs.itertuples()}
    assert pairs["mcc"].between(0.3, 1).all()
    models = pd.read_csv(found / "models.csv")
    kinds = models["kind"].value_counts()
    assert kinds["shared"] > 0.5 * kinds.sum()  # the reasoning rows of this store are the base rows, twice
    directions = load_directions(found / "directions.safetensors")
    assert len(directions) == 4 * 20  # a crosscoder's rows are of two models and are no direction of one
    assert {(item.site, item.source["role"]) for item in directions} == {(Site(2), "reasoning")}
    latents = pd.read_csv(found / "latents.csv")
    assert len(latents) == 6 * 64
    assert {file.stem for file in (found / "figures").glob("*.svg")} == {
        "sparsity_frontier",
        "latent_density",
        "model_share",
    }


def test_of_several_processes_one_speaks(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(place, "train/sae")
    kinds = ["--arch", "batchtopk", "topk", "crosscoder", "--seed", "0", "1", "--model", "reasoning"]
    command = ["run", "train/sae", "--store", str(place / "store"), "--runs", str(place / "runs"), *SIZES, *FEW, *kinds]
    for rank, said in (("0", f"{run}\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        assert main(command) == 0
        assert capsys.readouterr().out == said


def test_a_single_folder_and_what_is_none(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_of(place, "train/sae") / "reasoning-L2.resid_post-topk-w64-k4-s0"
    command = ["run", "analysis/dictionary", "--store", str(place / "store"), "--runs", str(place / "single")]
    assert main([*command, "--dictionaries", str(folder), "--texts", "0"]) == 0
    assert main([*command, "--dictionaries", str(place), "--texts", "0"]) == 1
    assert "holds no SAE folder" in capsys.readouterr().err
    assert main([*command, "--dictionaries", str(folder), "--texts", "0", "--expected-l0", "60"]) == 1
    assert "should have about 60 active latents" in capsys.readouterr().err


def tiny_traces() -> list[Trace]:
    """Solutions of the small language, as tokens of the tiny base model."""
    lm = load_model(TINY.source("base"), "base")
    worlds, traces = load_worlds(), []
    for number in range(24):
        text = base_document(f"dictionary {number}", worlds, Mixture(prose=0.0, swapped=0.0), Habits()).text
        ids = (lm.tokenizer.bos_token_id, *lm.tokenizer(text, add_special_tokens=False)["input_ids"])
        traces.append(Trace(f"t{number}", f"p{number}", "c", ids, 1, decode_text(lm.tokenizer, ids), "m", {}, True))
    return traces


def tiny_store(path: Path) -> Path:
    """What the base model holds at the block of the planted directions while it reads them."""
    capture_store(path, Pair(TINY.base), Compute(), tiny_traces(), (Site(2),), "float32")
    return path


def test_rows_of_a_live_model_need_no_store(tmp_path: Path) -> None:
    with open_run(tmp_path / "runs", "data/traces", {}) as run:
        write_rows(run.file("traces.jsonl"), tiny_traces())
    command = ["run", "train/sae-live", "--traces", str(run.path), "--runs", str(tmp_path / "runs"), "--site", "L2"]
    sizes = ["--width", "256", "--k", "8", "--batch", "256", "--steps", "30", "--lr", "2e-3", "--warmup", "5"]
    kinds = ["--model", "base", "--arch", "topk", "crosscoder", "--held-out", "0.3"]
    assert main([*command, *sizes, *kinds]) == 0
    found = run_of(tmp_path, "train/sae-live")
    table = pd.read_csv(found / "dictionaries.csv").set_index("architecture")
    assert table["l0"].to_numpy() == pytest.approx(8, rel=0.02)
    assert (table["fvu"] < 0.6).all()
    assert (table["clusters"] == 7).all()
    curve = pd.read_csv(found / "curve.csv")
    assert curve["held_out_fvu"].iloc[-1] < curve["held_out_fvu"].iloc[0]
    both = read_folder(next(found.glob("*crosscoder*/cfg.json")).parent)
    assert both.facts["model_name"] == "shipped:tiny/base + shipped:tiny/reasoning-and"


def test_on_the_tiny_pair_everything_is_measured(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    sizes = ["--width", "256", "--k", "8", "--batch", "256", "--steps", "60", "--lr", "2e-3", "--held-out", "0.3"]
    place = ["--store", str(store), "--runs", str(tmp_path / "runs")]
    assert main(["run", "train/sae", *place, *sizes, "--site", "L2", "--model", "base", "--warmup", "5"]) == 0
    run = run_of(tmp_path, "train/sae")
    command = ["run", "analysis/dictionary", *place, "--dictionaries", str(run), "--role", "base", "--texts", "4"]
    assert main([*command, "--planted", "shipped:tiny/base/planted.safetensors", "--shown", "3"]) == 0
    found = run_of(tmp_path, "analysis/dictionary")
    line = pd.read_csv(found / "dictionaries.csv").iloc[0]
    assert line["ce_clean"] < line["ce_spliced"] < line["ce_ablated"]
    assert 0 < line["recovered"] < 1
    assert line["kl"] > 0
    known = pd.read_csv(found / "known.csv")
    assert set(known["feature"]) == {"hesitation", "mistake"}
    assert set(known["name"]) == {line["name"]}  # the dictionary, as in every table of this run
    assert known[["f1", "cosine", "absorbed"]].stack().between(0, 1).all()
    # a one-to-one matching cannot do better than every direction's nearest latent
    assert 0 < line["planted_mcc"] <= known["cosine"].mean() + 1e-6
    examples = pd.read_csv(found / "examples.csv")
    assert len(examples["latent"].unique()) == 3
    assert (examples.groupby("latent")["activation"].diff().dropna() <= 0).all()
    assert examples["before"].str.len().max() > 10
