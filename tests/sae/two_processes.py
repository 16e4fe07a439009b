"""Run by torchrun in two processes: both learn from halves of the same batches; compared with one that sees all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from multidir.sae.learner import Learner
from multidir.sae.parallel import Group, process_group
from multidir.sae.spec import Training
from tests.sae.planted import features, sparse_rows, spec_of

STEPS = 12


def learned(group: Group, batches: list[torch.Tensor]) -> Learner:
    """TopK is the same function of a joined batch as of its halves; a batch-top-k is not."""
    training = Training(steps=STEPS, batch=64, lr=3e-3, dead_after=60, aux=0.5)
    learner = Learner(spec_of("topk", k=2), training, batches[0], batches[0].mean(0), group)
    for batch in batches:
        learner.step(batch[group.rank :: group.size])
    return learner


def main(folder: Path) -> None:
    dictionary = features(30, 16)
    batches = [sparse_rows(dictionary, 64, 3, seed=number) for number in range(STEPS)]
    with process_group() as group:
        mine = learned(group, batches)
        values = {**mine.weights.named(), "idle": mine.idle.double()}
        same = []
        for value in values.values():
            theirs = [torch.empty_like(value) for _ in range(group.size)]
            dist.all_gather(theirs, value.detach())
            same.append(torch.equal(theirs[0], theirs[1]))
        if group.leads:
            alone = learned(Group(), batches)
            distance = max(
                float((value.detach() - values[name].detach()).abs().max())
                for name, value in alone.weights.named().items()
            )
            facts = {
                "same_everywhere": all(same),
                "difference_to_one_process": distance,
                "dead_agree": bool(torch.equal(alone.dead, mine.dead) and alone.dead.any()),
            }
            (folder / "found.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
