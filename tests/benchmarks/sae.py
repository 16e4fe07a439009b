"""How fast dictionaries are trained against other trainers, at what loss, and whether the data keep up.

    python -m tests.benchmarks.sae [--quick] [--json] [--folder DIR] [--store STORE]

Every trainer works in a process of its own on the same rows, one thread each; steps are taken in turns (A B C A B
C ...), a value is the median over rounds of a ratio of CPU seconds. FVU is that of 4096 rows that nobody trained on.

Where a number of latents is kept (topk, batchtopk, matryoshka), each library starts and normalises as it does by
itself. Jumprelu comes to its L0 by a loss: both minimise the same one there, squared error plus the quadratic L0 loss,
from the same weights and thresholds, and FVU is told with L0.

With a GPU there are rows of a dictionary of 8B size too, see `sae_gpu`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from multidir.sae.parallel import Group
from multidir.sae.source import StoreSource
from multidir.sae.spec import DictionarySpec, Training
from multidir.sae.train import Job, train
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle
from multidir.store.spec import StoreSpec
from tests.benchmarks.measure import Row, note, show
from tests.benchmarks.sae_gpu import on_gpu
from tests.benchmarks.sae_recovery import recovery
from tests.benchmarks.sae_store import real_store
from tests.benchmarks.sae_worker import Worker, synthetic
from tests.benchmarks.store_work import SITE, forget, trace_of

D, WIDTH, K, BATCH = 512, 4096, 32, 4096
NESTED = (512, 1024, 2048)
HERE = {"device": "cpu", "bf16": False}


@dataclass(frozen=True)
class Contest:
    """One architecture, whom ours is measured against, and by what factor ours should be faster."""

    arch: str
    goals: dict[str, float]
    start: tuple[str, float | None] = ("", None)
    """Jumprelu: how dense both trainers start, in words, and the threshold; ours when none."""

    @property
    def name(self) -> str:
        """Of the rows of the table."""
        return f"{self.arch}{self.start[0]}"


CONTESTS = (
    Contest("topk", {"sae_lens": 4, "dictionary_learning": 4, "sparsify": 1.7}),
    Contest("batchtopk", {"sae_lens": 5, "dictionary_learning": 4}),
    Contest("matryoshka", {"sae_lens": 1.5}),
    Contest("jumprelu", {"sae_lens": 1.5}, start=(" from 4 k active", None)),
    Contest("jumprelu", {"sae_lens": 1.5}, start=(" from half active", 0.01)),
)


def race(contest: Contest, folder: Path, options: Namespace) -> Iterator[Row]:
    """All trainers of one architecture, step by step in turns, and the loss each one comes to."""
    settings = {"width": WIDTH, "k": K, "batch": BATCH, "lr": 1e-3, "nested": NESTED, "l0_weight": 0.05, **HERE}
    rounds, steps = (4, 3) if options.quick else (8, 5)
    data, names = folder / "rows.npy", ["multidir", *contest.goals]
    if contest.arch in ("topk", "batchtopk"):
        names.append("multidir in sae_lens")
    file = folder / "settings.json"
    file.write_text(json.dumps({**settings, "dead_after": 10_000_000, "idle": 0, "threshold": contest.start[1]}))
    note(f"{contest.name}: {', '.join(names)}")
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, contest.arch, data, file)) for name in names}
        taken: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds + 1):
            for name, worker in workers.items():
                seconds = worker.ask(f"step {steps}")["seconds"]
                if turn:
                    taken[name].append(seconds)
            note(f"  round {turn}: " + ", ".join(f"{name} {t[-1]:.2f} s" for name, t in taken.items() if t))
        scores = {name: worker.ask("score") for name, worker in workers.items()}
    ours, n = taken.pop("multidir"), rounds
    rate = steps * BATCH / statistics.median(ours)
    yield Row(f"{contest.name} tokens per CPU second", rate, "tokens/s", f"{D} x {WIDTH}, k {K}, batch {BATCH}", n)
    for name, seconds in taken.items():
        factor = statistics.median(theirs / mine for theirs, mine in zip(seconds, ours, strict=True))
        yield Row(f"{contest.name} speed", factor, "times", name, n, contest.goals.get(name))
        worse = scores["multidir"]["fvu"] / scores[name]["fvu"]
        goal = 1.01 if name in contest.goals else None
        l0 = f"{scores['multidir']['l0']:.1f} and {scores[name]['l0']:.1f}"
        against = f"{name}, after {(rounds + 1) * steps} steps, L0 {l0}"
        yield Row(f"{contest.name} FVU, ours over theirs", worse, "times", against, 1, at_most=goal)


def dead_cost(folder: Path, options: Namespace) -> Iterator[Row]:
    """What the auxiliary loss costs once latents are dead."""
    settings = {
        "width": WIDTH,
        "k": K,
        "batch": BATCH,
        "lr": 1e-9,
        "nested": NESTED,
        "l0_weight": 0.05,
        "idle": 0,
        **HERE,
    }
    settings["threshold"] = None
    taken = {}
    for share, threshold in ((0.0, 10_000_000), (1.0, 0)):
        (folder / "settings.json").write_text(json.dumps({**settings, "dead_after": threshold}))
        with Worker("multidir", "topk", folder / "rows.npy", folder / "settings.json") as worker:
            worker.ask("step 2")
            taken[share] = statistics.median(worker.ask("step 2")["seconds"] for _ in range(3 if options.quick else 6))
    yield Row("topk step, all latents dead over none", taken[1.0] / taken[0.0], "times", "worst case of AuxK", 3)


def reading(folder: Path, options: Namespace) -> Iterator[Row]:
    """Share of a step's time spent waiting for rows, from a store whose pages are not in memory."""
    rows = 200_000 if options.quick else 800_000
    key, store_spec = ("base", SITE), StoreSpec({"base": {"id": "synthetic"}}, (SITE,), D, shard_rows=100_000)
    source = torch.from_numpy(synthetic(20_000, D, WIDTH, seed=1)).to(torch.bfloat16)
    traces = [trace_of(number, 2000) for number in range(rows // 2000)]
    with ActivationStore.create(folder / "store", store_spec, traces) as writer:
        for number, trace in enumerate(traces):
            at = 2000 * number % (len(source) - 2000)
            writer.append(trace.id, {key: source[at : at + 2000]})
    store = ActivationStore.open(folder / "store")
    for shard in store.shards:
        forget(shard.path)
    steps = 40 if options.quick else 150
    training = Training(steps=steps, batch=BATCH)
    shuffle = Shuffle(batch_rows=BATCH, seed=0)
    data = StoreSource(store, (key,), shuffle, np.ones(store.n_rows, bool), "cpu", Group())
    run = train([Job(DictionarySpec("topk", D, WIDTH, K), (key,))], data, training)
    against = f"{rows:,} rows of {D} bfloat16, cold; {steps} topk steps"
    yield Row("share of time waiting for rows", run.waited, "share", against, 1, at_most=0.05)
    yield Row("two rows of a batch from one trace", data.collision_ratio(), "times", "a full permutation", 1)


def resuming(options: Namespace) -> Iterator[Row]:
    """Whether killed training ends with the same bits; a process that does not raises."""
    kills = 5 if options.quick else 20
    subprocess.run([sys.executable, "-m", "tests.sae.killing", "--kills", str(kills)], check=True, capture_output=True)
    yield Row(
        "runs with the same bits after kills", 1.0, "share", f"{kills} times kill -9 at random", kills, at_least=1
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a few minutes on two cores")
    parser.add_argument("--json", action="store_true", help="one JSON object per row on stdout")
    parser.add_argument("--folder", type=Path, default=None, help="where temporary files go")
    parser.add_argument("--store", type=Path, default=None, help="a store of a real model, for the rows on one")
    parser.add_argument("--only", nargs="*", help="architectures, `dead`, `reading`, `gpu`, `recovery`, ...")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    wanted = set(options.only or [c.arch for c in CONTESTS] + ["dead", "reading", "gpu", "recovery", "store", "resume"])
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        np.save(folder / "rows.npy", synthetic(BATCH * 9, D, WIDTH))
        for contest in CONTESTS:
            rows += race(contest, folder, options) if contest.arch in wanted else ()
        rows += dead_cost(folder, options) if "dead" in wanted else ()
        rows += reading(folder, options) if "reading" in wanted else ()
        rows += on_gpu(folder, options.quick) if "gpu" in wanted and torch.cuda.is_available() else ()
    rows += recovery(options.quick) if "recovery" in wanted else ()
    rows += real_store(options.store, options.quick) if options.store and "store" in wanted else ()
    rows += resuming(options) if "resume" in wanted else ()
    show("Training dictionaries", rows, options.json)


if __name__ == "__main__":
    main()
