"""SAELens' own trainer on the same rows: the reference that ours is compared with. Imports SAELens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.registry import get_sae_training_class
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from multidir.errors import ConfigError
from multidir.sae.dictionary import Dictionary
from multidir.sae.spec import DictionarySpec, Training

_NAMES = {"topk": "topk", "batchtopk": "batchtopk", "jumprelu": "jumprelu", "standard": "standard"}
_NAMES |= {"matryoshka": "matryoshka_batchtopk"}


def train_with_saelens(spec: DictionarySpec, training: Training, batches: Iterator[Tensor], facts: Any) -> Dictionary:
    """Train one dictionary with SAELens' classes, losses and trainer.

    Its defaults hold wherever our settings have no counterpart: the weight of its auxiliary loss is 1, latents
    count as dead after 1000 steps, and the decoder bias starts at zero.

    Args:
        spec: what it is to be.
        training: steps, batch, learning rate, warm-ups and the weight of a sparsity loss are taken from here.
        batches: scaled rows, full batches, enough of them.
        facts: metadata.

    Returns:
        A dictionary that reads scaled rows, with the threshold that SAELens would save.
    Raises:
        ConfigError: an architecture that SAELens does not train.
    """
    if spec.architecture not in _NAMES:
        raise ConfigError(f"SAELens trains no {spec.architecture}; it trains {', '.join(_NAMES)}")
    kind, config = get_sae_training_class(_NAMES[spec.architecture])
    torch.manual_seed(spec.seed)
    sae = kind(config(d_in=spec.d, d_sae=spec.width, **_settings(spec, training)))
    SAETrainer(cfg=_trainer_config(training), sae=sae, data_provider=batches).fit()
    state = sae.state_dict()
    sae.process_state_dict_for_saving_inference(state)
    activation = {"topk": "topk", "standard": "standard"}.get(spec.architecture, "jumprelu")
    return Dictionary(
        activation=activation,  # type: ignore[arg-type]
        enc=state["W_enc"].contiguous(),
        enc_bias=state["b_enc"],
        dec=state["W_dec"].contiguous(),
        dec_bias=state["b_dec"],
        threshold=state.get("threshold"),
        k=spec.k if activation == "topk" else None,
        facts=facts,
    )


def _settings(spec: DictionarySpec, training: Training) -> dict[str, Any]:
    if spec.architecture == "standard":
        return {"l1_coefficient": training.l1_weight, "l1_warm_up_steps": training.sparsity_warmup}
    if spec.architecture == "jumprelu":
        return {
            "jumprelu_bandwidth": training.bandwidth,
            "jumprelu_sparsity_loss_mode": "quadratic",
            "target_l0": float(spec.k),
            "l0_coefficient": training.l0_weight,
            "l0_warm_up_steps": training.sparsity_warmup,
        }
    return {"k": spec.k} | ({"matryoshka_widths": list(spec.levels)} if spec.nested else {})


def _trainer_config(training: Training) -> SAETrainerConfig:
    decay = int(training.decay * training.steps)
    return SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=training.steps * training.batch,
        device="cpu",
        autocast=False,
        lr=training.lr,
        lr_end=training.lr,
        lr_scheduler_name="constant",
        lr_warm_up_steps=training.warmup,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=decay,
        n_restart_cycles=1,
        train_batch_size_samples=training.batch,
        dead_feature_window=1000,
        feature_sampling_window=2000,
        logger=LoggingConfig(log_to_wandb=False),
        n_batches_for_norm_estimate=1,
    )
