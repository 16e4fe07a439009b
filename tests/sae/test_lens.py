"""Our step inside SAELens: same losses and gradients as its own classes, under its own trainer; and its faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from multidir.sae.architectures import STEPS
from multidir.sae.learner import Learner
from multidir.sae.step import finish_decoder_bias
from tests.sae.planted import features, learner_of, sparse_rows, spec_of

D, F, K = 16, 40, 4
ROWS = sparse_rows(features(30, D), 3000, 3, seed=1).float()


def batches(size: int = 100) -> Iterator[torch.Tensor]:
    while True:
        yield from (ROWS[at : at + size] for at in range(0, 2000, size))


@pytest.fixture
def make(saelens: Any) -> Callable[..., Any]:
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

    from multidir.sae.lens import SparseBatchTopKTrainingSAE, SparseTopKTrainingSAE

    kinds = {
        "topk": (TopKTrainingSAE, SparseTopKTrainingSAE, TopKTrainingSAEConfig),
        "batchtopk": (BatchTopKTrainingSAE, SparseBatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
    }

    def made(kind: str, sparse: bool, dtype: str = "float64", **changes: Any) -> Any:
        stock, ours, config = kinds[kind]
        torch.manual_seed(0)
        return (ours if sparse else stock)(config(d_in=D, d_sae=F, k=K, dtype=dtype, **changes))

    return made


def output(sae: Any, dead: torch.Tensor | None) -> Any:
    from sae_lens.saes.sae import TrainStepInput

    given = TrainStepInput(ROWS[:50].double(), {}, dead, n_training_steps=0, is_logging_step=False)
    return sae.training_forward_pass(given)


@pytest.mark.parametrize("dead", [(), (3, 17, 29), tuple(range(0, 40, 2))])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_losses_and_gradients_are_those_of_the_stock_class(
    make: Callable[..., Any], kind: str, rescale: bool, dead: tuple[int, ...]
) -> None:
    mask = torch.zeros(F, dtype=torch.bool)
    mask[list(dead)] = True
    found = {}
    for sparse in (False, True):
        sae = make(kind, sparse, rescale_acts_by_decoder_norm=rescale)
        with torch.no_grad():
            sae.W_dec += 0.03 * torch.randn(F, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        out = output(sae, mask)
        out.loss.backward()
        grads = {name: p.grad for name, p in sae.named_parameters()}
        found[sparse] = out, grads
    (stock, theirs), (ours, mine) = found[False], found[True]
    assert float(ours.loss.detach()) == pytest.approx(float(stock.loss.detach()), rel=1e-12)
    torch.testing.assert_close(ours.feature_acts.to_dense(), stock.feature_acts.detach())
    for name, expected in theirs.items():
        assert (mine[name] - expected).abs().max() <= 1e-12 * expected.abs().max(), name


@pytest.fixture
def from_one_start(saelens: Any) -> Callable[..., tuple[Any, Learner]]:
    """SAELens' jumprelu class and ours, with one loss, on the same weights and thresholds."""
    from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig

    def made(dtype: torch.dtype, threshold: float) -> tuple[Any, Learner]:
        spec = spec_of("jumprelu", d=D, width=F, k=K)
        learner = learner_of(spec, ROWS[:100], dtype, l0_weight=0.3, lr=3e-3, decay=0.0)
        assert learner.weights.threshold is not None
        learner.weights.threshold.data.fill_(threshold)
        config = JumpReLUTrainingSAEConfig(
            d_in=D,
            d_sae=F,
            dtype=str(dtype).removeprefix("torch."),
            jumprelu_bandwidth=learner.training.bandwidth,
            jumprelu_sparsity_loss_mode="quadratic",
            target_l0=float(K),
            l0_coefficient=learner.training.l0_weight,
        )
        theirs = JumpReLUTrainingSAE(config)
        start_alike(theirs, learner)
        return theirs, learner

    return made


def start_alike(theirs: Any, learner: Learner) -> None:
    for name, ours in as_named_by_saelens(learner.weights.named()).items():
        getattr(theirs, name).data.copy_(ours.detach())


def assert_the_same_after(steps: int, theirs: Any, learner: Learner) -> None:
    """Neither learns more per step; and decoder rows keep no length, or this would be no test of it."""
    start = learner.weights.dec.detach().norm(dim=1)
    trained(theirs, steps)
    for _, rows in zip(range(steps), batches(), strict=False):
        learner.step(rows)
    for name, found in as_named_by_saelens(learner.weights.named()).items():
        torch.testing.assert_close(found, getattr(theirs, name), rtol=1e-3, atol=1e-4)
    assert float((learner.weights.dec.detach().norm(dim=1) / start - 1).abs().max()) > 0.01


def as_named_by_saelens(ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {"enc": "W_enc", "enc_bias": "b_enc", "dec": "W_dec", "dec_bias": "b_dec", "threshold": "threshold"}
    return {names[name]: value.T if name == "enc" else value for name, value in ours.items()}


@pytest.mark.parametrize("threshold", [0.25, 0.6])
def test_a_jumprelu_step_has_the_loss_and_the_gradients_of_saelens(
    from_one_start: Callable[..., tuple[Any, Learner]], threshold: float
) -> None:
    from sae_lens.saes.sae import TrainStepInput

    theirs, learner = from_one_start(torch.float64, threshold)
    x, coefficients = ROWS[:50].double(), {"l0": learner.training.l0_weight}
    out = theirs.training_forward_pass(TrainStepInput(x, coefficients, None, 0, False))
    out.loss.backward()
    with torch.no_grad():
        work = learner._work(x)
        loss = STEPS["jumprelu"](work).loss
        finish_decoder_bias(learner.weights)
    assert float(loss) == pytest.approx(float(out.loss.detach()), rel=1e-12)
    mine = {name: value.grad for name, value in learner.weights.named().items()}
    for name, found in as_named_by_saelens(mine).items():
        expected = getattr(theirs, name).grad
        assert expected.abs().max() > 0, name
        close = 1e-6 if name == "threshold" else 1e-12  # SAELens keeps thresholds in float32
        assert (found - expected).abs().max() <= close * expected.abs().max(), name


@pytest.mark.parametrize("threshold", [0.01, 0.6])
def test_jumprelu_comes_to_the_weights_of_saelens_own_trainer(
    from_one_start: Callable[..., tuple[Any, Learner]], threshold: float
) -> None:
    """Densely or sparsely started, one loss and one start end in one place."""
    assert_the_same_after(20, *from_one_start(torch.float32, threshold))


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_from_one_start_topk_comes_to_the_weights_of_saelens_own_trainer(make: Callable[..., Any], kind: str) -> None:
    """Its rows start at length 0.1 and are free, and it selects by activations times lengths: so do we."""
    learner = learner_of(spec_of(kind, d=D, width=F, k=K), ROWS[:100], torch.float32, lr=3e-3, decay=0.0, aux=0.0)
    theirs = make(kind, sparse=False, dtype="float32", aux_loss_coefficient=0.0)
    with torch.no_grad():
        learner.weights.dec *= torch.linspace(0.5, 2, F)[:, None]  # or selecting without lengths would do
    start_alike(theirs, learner)
    assert_the_same_after(20, theirs, learner)


def trained(sae: Any, steps: int) -> Any:
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    config = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=100 * steps,
        device="cpu",
        autocast=False,
        lr=3e-3,
        lr_end=3e-3,
        lr_scheduler_name="constant",
        lr_warm_up_steps=0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=0,
        n_restart_cycles=1,
        train_batch_size_samples=100,
        dead_feature_window=5,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
        n_batches_for_norm_estimate=1,
    )
    return SAETrainer(cfg=config, sae=sae, data_provider=batches()).fit()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # the stock class asks for none
def test_sparse_activations_do_not_crash_on_a_cpu(make: Callable[..., Any]) -> None:
    """sae_lens 6.54.12 does with its defaults: no backward pass through a COO tensor that is scaled by row norms."""
    with pytest.raises(NotImplementedError, match="SparseCPU"):
        trained(make("topk", sparse=False, dtype="float32", use_sparse_activations=True), 2)
    asked, plain = (trained(make("topk", True, dtype="float32", use_sparse_activations=on), 2) for on in (True, False))
    assert torch.equal(asked.W_enc, plain.W_enc)


@pytest.mark.parametrize("kind", ["topk", "batchtopk"])
def test_saelens_own_trainer_gets_the_same_weights(make: Callable[..., Any], kind: str) -> None:
    stock, ours = (trained(make(kind, sparse, dtype="float32"), 20) for sparse in (False, True))
    torch.testing.assert_close(ours.W_dec, stock.W_dec, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.W_enc, stock.W_enc, rtol=1e-3, atol=1e-4)


def test_the_saved_threshold_is_right_after_few_steps(make: Callable[..., Any], saelens: Any, tmp_path: Path) -> None:
    """The stock class is far off here, which is why thresholds are not left to its moving average."""
    l0 = {}
    for sparse in (False, True):
        trained(make("batchtopk", sparse, dtype="float32"), 150).save_inference_model(tmp_path / str(sparse))
        acts = saelens.SAE.load_from_disk(tmp_path / str(sparse)).encode(ROWS[2000:])
        l0[sparse] = float((acts > 0).sum() / 1000)
    assert l0[False] > 1.4 * K
    assert l0[True] == pytest.approx(K, rel=0.15)
