"""Training from a store: it learns, several learn at once as each would alone, it resumes to the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.sae.checkpoint import load_checkpoint
from multidir.sae.parallel import Group
from multidir.sae.source import Batch, StoreSource
from multidir.sae.spec import DictionarySpec, Training
from multidir.sae.split import split_rows
from multidir.sae.train import Job, Pace, Run, train
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle
from tests.sae.planted import ARCHITECTURES, BASE, REASONING, planted_store, spec_of
from tests.store.test_faults import file_size_limit

TRAINING = Training(steps=24, batch=64, lr=3e-3, l1_weight=0.05, l0_weight=0.05, bandwidth=0.5, dead_after=500)
PACE = Pace(log=8, save=4)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("sae") / "store")


def source_of(store: ActivationStore, *keys: Any, **changes: Any) -> StoreSource:
    rows = split_rows(store, 0.2, "prompt", 0).train
    shuffle = Shuffle(**{"batch_rows": 64, "seed": 0, "block_rows": 4, "buffer_rows": 128, **changes})
    return StoreSource(store, keys or (BASE,), shuffle, rows)


def jobs_of(*architectures: str) -> list[Job]:
    return [
        Job(spec_of(a, d=32), (BASE, REASONING)) if a == "crosscoder" else Job(spec_of(a), (BASE,))
        for a in architectures
    ]


def held_out(store: ActivationStore) -> Batch:
    rows = split_rows(store, 0.2, "prompt", 0).held_out
    return {key: torch.from_numpy(store.rows(*key, rows)) for key in (BASE, REASONING)}


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return {
        f"{job.name}/{name}": value.detach().clone()
        for job, learner in zip(run.jobs, run.learners, strict=True)
        for name, value in learner.state().items()
    }


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_every_architecture_learns_from_one_pass(store: ActivationStore) -> None:
    training = Training(steps=200, batch=64, lr=3e-3, l1_weight=0.05, l0_weight=0.05, bandwidth=0.5)
    run = train(jobs_of(*ARCHITECTURES), source_of(store, BASE, REASONING), training, held_out(store))
    for job in run.jobs:
        curve = [point for point in run.curve if point["name"] == job.name]
        assert [point["step"] for point in curve] == [1, 50, 100, 150, 200]
        assert curve[-1]["loss"] < 0.8 * curve[0]["loss"], job.name
        assert curve[-1]["held_out_fvu"] < min(0.75, curve[0]["held_out_fvu"]), job.name
        if job.spec.architecture in ("topk", "batchtopk", "matryoshka", "crosscoder"):
            assert curve[-1]["held_out_l0"] <= 4
    assert 0 <= run.waited < 1


def test_learning_together_is_learning_alone(store: ActivationStore) -> None:
    alone = weights_of(train(jobs_of("batchtopk"), source_of(store), TRAINING))
    together = weights_of(train(jobs_of("topk", "batchtopk", "jumprelu"), source_of(store), TRAINING))
    assert_same_bits(alone, {name: value for name, value in together.items() if name in alone})


class Rows:
    """A source of given batches."""

    identity = ""

    def __init__(self, batches: list[torch.Tensor]) -> None:
        self._batches = batches

    def sample(self, rows: int) -> Batch:
        return {BASE: torch.cat(self._batches)[:rows]}

    def batches(self, first: int) -> Generator[Batch, None, None]:
        yield from ({BASE: batch} for batch in self._batches[first:])


class Killed(Exception):
    """Stands for a kill -9 between two steps."""


class Dying:
    """A source that dies after some batches."""

    def __init__(self, source: StoreSource, after: int) -> None:
        self._source, self._after, self.identity = source, after, source.identity
        self.sample = source.sample

    def batches(self, first: int) -> Generator[Batch, None, None]:
        for count, batch in enumerate(self._source.batches(first)):
            if count == self._after:
                raise Killed
            yield batch


@pytest.mark.parametrize("deaths", [(1,), (5, 3), (9, 2, 6, 4)])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    store: ActivationStore, tmp_path: Path, deaths: tuple[int, ...]
) -> None:
    jobs = jobs_of(*ARCHITECTURES)
    keep = {"held_out": held_out(store), "pace": PACE}
    whole = train(jobs, source_of(store, BASE, REASONING), TRAINING, **keep)
    for after in deaths:
        dying = Dying(source_of(store, BASE, REASONING), after)
        with pytest.raises(Killed):
            train(jobs, dying, TRAINING, checkpoint=tmp_path / "c.safetensors", **keep)
    end = train(jobs, source_of(store, BASE, REASONING), TRAINING, checkpoint=tmp_path / "c.safetensors", **keep)
    assert_same_bits(weights_of(end), weights_of(whole))
    assert end.curve == whole.curve


def kill_training(kills: int, seed: int) -> tuple[int, int]:
    command = [sys.executable, "-m", "tests.sae.killing", "--kills", str(kills), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    total, partly, _ = (int(word) for word in done.stdout.split() if word.isdigit())
    return total, partly


def test_killed_processes_leave_checkpoints_that_resume_to_the_same_bits() -> None:
    total, after_a_checkpoint = kill_training(4, seed=1)
    assert total == 4
    assert after_a_checkpoint > 0


@pytest.mark.slow
def test_twenty_killed_processes_leave_checkpoints_that_resume_to_the_same_bits() -> None:
    total, after_a_checkpoint = kill_training(20, seed=2)
    assert total == 20
    assert after_a_checkpoint >= 10


def test_a_full_disk_leaves_the_last_checkpoint(store: ActivationStore, tmp_path: Path) -> None:
    file = tmp_path / "c.safetensors"
    with pytest.raises(Killed):
        train(jobs_of("topk"), Dying(source_of(store), 6), TRAINING, checkpoint=file, pace=PACE)
    before = file.read_bytes()
    with file_size_limit(2000), pytest.raises(ConfigError, match=r"cannot write .*c.safetensors"):
        train(jobs_of("topk"), source_of(store), TRAINING, checkpoint=file, pace=PACE)
    assert file.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["c.safetensors"]
    resumed = train(jobs_of("topk"), source_of(store), TRAINING, checkpoint=file, pace=PACE)
    assert_same_bits(weights_of(resumed), weights_of(train(jobs_of("topk"), source_of(store), TRAINING)))


def test_a_checkpoint_of_another_config_is_refused_with_all_differences(store: ActivationStore, tmp_path: Path) -> None:
    file = tmp_path / "c.safetensors"
    train(jobs_of("topk"), source_of(store), TRAINING, checkpoint=file)
    other = Training(**{**vars(TRAINING), "lr": 0.1, "clip": 2.0})
    with pytest.raises(ConfigError, match=r"training.lr was 0.003, is 0.1; training.clip was 1.0, is 2.0; data was"):
        train(jobs_of("topk"), source_of(store, seed=1), other, checkpoint=file)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(FormatError, match="cannot be read as a checkpoint"):
        load_checkpoint(file, {})


def constant(rows: np.ndarray) -> np.ndarray:
    rows[:, [3, 5]] = 1.0
    return rows


def test_unusable_channels_are_named(tmp_path: Path) -> None:
    source = source_of(planted_store(tmp_path / "s", edit=constant))
    with pytest.raises(DesignError, match=r"base L2.resid_post: channels 3, 5 are constant over \d+ rows"):
        train(jobs_of("topk"), source, TRAINING)
    rows = torch.randn(64, 16)
    rows[7, 11] = torch.nan
    with pytest.raises(DesignError, match=r"base L2.resid_post: channel 11 is not finite"):
        train(jobs_of("topk"), Rows([rows] * 100), TRAINING)


def test_a_broken_row_that_the_sample_missed_is_named_when_it_comes() -> None:
    rows = list(torch.randn(100, 64, 16, generator=torch.Generator().manual_seed(0)))
    rows[90][3, 9] = torch.inf
    with pytest.raises(DesignError, match="channel 9 is not finite"):
        train(jobs_of("topk"), Rows([batch.repeat(4, 1) for batch in rows]), Training(steps=95, batch=256))


def test_other_bad_input_has_its_own_sentence(store: ActivationStore) -> None:
    with pytest.raises(ConfigError, match=r"k = 50 active latents per token are more than the 40 latents"):
        spec_of("topk", k=50)
    with pytest.raises(ConfigError, match="nested sizes belong to a matryoshka"):
        DictionarySpec("topk", 16, 40, 4, nested=(8,))
    with pytest.raises(ConfigError, match="no architecture 'top_k'"):
        DictionarySpec("top_k", 16, 40, 4)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"base L7.resid_post is not in .*; it holds base L2.resid_post"):
        source_of(store, ("base", type(BASE[1])(7)))
    with pytest.raises(DesignError, match=r"has 624 rows to learn from in this process and a batch takes 1000"):
        source_of(store, batch_rows=1000)
    with pytest.raises(ConfigError, match=r"reads rows of width 8, got a batch \(\d+, 16\)"):
        train([Job(spec_of("topk", d=8), (BASE,))], source_of(store), TRAINING)
    with pytest.raises(DesignError, match="training needs jobs that differ"):
        train(jobs_of("topk") * 2, source_of(store), TRAINING)
    with pytest.raises(ConfigError, match="overlap in 24 steps; lower warmup or decay"):
        Training(steps=24, batch=64, warmup=20)


def test_rows_are_held_out_by_whole_prompts(store: ActivationStore) -> None:
    split = split_rows(store, 0.3, "prompt", seed=3)
    prompts = [{store.traces[i].prompt_id for i in store.trace_index[rows]} for rows in (split.train, split.held_out)]
    assert [len(part) for part in prompts] == [7, 3]
    assert len(set.union(*prompts)) == 10
    assert store.position[split.held_out].min() > 0
    assert len(split_rows(store, 0.3, "prompt", seed=3, most=5).held_out) == 5
    with pytest.raises(DesignError, match=r"cannot hold out 0.95 of 10 prompts"):
        split_rows(store, 0.95, "prompt", seed=0)


def test_the_source_repeats_itself_from_any_position(store: ActivationStore) -> None:
    source = source_of(store, BASE, REASONING)
    whole = [batch for batch, _ in zip(source.batches(0), range(25), strict=False)]
    for first in (1, 8, 9, 10, 20):
        found = next(source.batches(first))
        assert all(torch.equal(found[key], whole[first][key]) for key in source.keys)
    assert torch.equal(whole[3][REASONING], 2 * whole[3][BASE])
    assert not torch.equal(whole[0][BASE], whole[9][BASE])


def test_two_processes_learn_what_one_would(tmp_path: Path) -> None:
    """Gloo, two processes, float64: the average of their gradients is the gradient of the joined batch."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--standalone"]
    script = Path(__file__).parent / "two_processes.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(script), str(tmp_path)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["same_everywhere"]
    assert found["difference_to_one_process"] < 1e-12
    assert found["dead_agree"]


def test_processes_read_rows_of_their_own(store: ActivationStore) -> None:
    rows = split_rows(store, 0.2, "prompt", 0).train
    shuffle = Shuffle(batch_rows=64, seed=0, block_rows=4, buffer_rows=128)
    shares = [StoreSource(store, (BASE,), shuffle, rows, group=Group(rank, 2)) for rank in (0, 1)]
    assert not (shares[0]._mine & shares[1]._mine).any()
    assert ((shares[0]._mine | shares[1]._mine) == rows).all()
    assert shares[0].identity == shares[1].identity != source_of(store).identity
    assert len(next(shares[1].batches(0))[BASE]) == 32
    with pytest.raises(DesignError, match="cannot be shared by 3 processes"):
        StoreSource(store, (BASE,), shuffle, rows, group=Group(0, 3))
