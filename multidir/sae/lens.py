"""The exact-sparse step as training classes of SAELens, so that its users have the speed under their own trainer.

    sae = SparseTopKTrainingSAE(TopKTrainingSAEConfig(...))        anywhere a TopKTrainingSAE goes
    SAETrainer(cfg=..., sae=sae, data_provider=...).fit()

Same losses, gradients, config and folder as the class it replaces; hooks on activations do not fire during training.
Importing this module imports SAELens, which takes seconds.
"""

from __future__ import annotations

from typing import Any

import torch
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE
from torch import Tensor

from multidir.sae.active import SparseActive
from multidir.sae.select import top_of_batch, top_of_rows

_WINDOW = 10.0
"""Steps taken, divided by the steps that the average of the threshold spans."""


class _Decode(torch.autograd.Function):
    """Encoder and decoder at selected latents: forward is a sparse decode, backward touches no other latent.

    Norms of decoder rows, by which SAELens multiplies before it selects and divides before it decodes, cancel
    in the values, so that they take part in the selection only.
    """

    @staticmethod
    def forward(ctx: Any, centred: Tensor, enc: Tensor, bias: Tensor, dec: Tensor, active: SparseActive) -> Tensor:
        """Decode; `bias` and `enc` are here for their gradients."""
        del bias
        ctx.save_for_backward(centred, enc, dec)
        ctx.active = active
        return active.decode(dec)

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the rows, the encoder with its bias, and the decoder."""
        centred, enc, dec = ctx.saved_tensors
        active: SparseActive = ctx.active
        up = up.contiguous()
        slopes = active.products(up, dec) * (active.values > 0)
        through = SparseActive(slopes, active.columns, active.starts, active.width)
        to_rows = through.decode(enc.T.contiguous())
        return to_rows, active.outer(slopes, centred).T, active.sums(slopes), active.outer(active.values, up), None


class _Sparse(TopKTrainingSAE):  # type: ignore[misc]
    """What both classes share: one dense product, everything else at selected latents."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """As in the class that is replaced."""
        rows = self.process_sae_in(step_input.sae_in)
        with torch.no_grad():
            pre = torch.addmm(self.b_enc, rows, self.W_enc)
            scores = pre * self.W_dec.norm(dim=-1) if self.cfg.rescale_acts_by_decoder_norm else pre
            active = self._selected(scores)
            shown = active.values
            active.values = pre[active.rows, active.columns].relu_()
        decoded = _Decode.apply(rows, self.W_enc, self.b_enc, self.W_dec, active) + self.b_dec  # type: ignore[no-untyped-call]
        out = self.reshape_fn_out(self.run_time_activation_norm_fn_out(self.hook_sae_recons(decoded)), self.d_head)
        loss = self.mse_loss_fn(out, step_input.sae_in).sum(dim=-1).mean()
        aux = self._aux(step_input, rows, out)
        acts = torch.sparse_coo_tensor(
            torch.stack([active.rows, active.columns]), shown, scores.shape, check_invariants=False, is_coalesced=True
        )
        losses = {"mse_loss": loss, "auxiliary_reconstruction_loss": aux}
        return TrainStepOutput(step_input.sae_in, out, acts, scores, loss + aux, losses)

    def _selected(self, scores: Tensor) -> SparseActive:
        raise NotImplementedError

    def _aux(self, step_input: TrainStepInput, rows: Tensor, out: Tensor) -> Tensor:
        """SAELens' own auxiliary loss, on pre-activations of dead latents only: it looks at no others."""
        dead = step_input.dead_neuron_mask
        if dead is None or not dead.any():
            return out.new_tensor(0.0)
        places = dead.nonzero().squeeze(1)
        part = torch.addmm(self.b_enc[places], rows, self.W_enc[:, places])
        if self.cfg.rescale_acts_by_decoder_norm:
            part = part * self.W_dec[places].norm(dim=-1)
        pre = out.new_zeros(len(rows), self.cfg.d_sae).index_copy(1, places, part)
        found: Tensor = self.calculate_topk_aux_loss(step_input.sae_in, out, pre, dead)
        return found


class SparseTopKTrainingSAE(_Sparse):
    """SAELens' TopK training class with an exact-sparse step."""

    def _selected(self, scores: Tensor) -> SparseActive:
        return top_of_rows(scores, self.cfg.k)


class SparseBatchTopKTrainingSAE(_Sparse, BatchTopKTrainingSAE):  # type: ignore[misc]
    """SAELens' BatchTopK training class with an exact-sparse step, and a threshold that follows from the first step.

    SAELens starts its moving average at zero without a correction, so that after few steps the saved threshold is
    far too low: 50 active latents for a target of 8 after 100 steps (6.54.12). Here the average spans the last tenth
    of the steps taken, until that is longer than the window that `topk_threshold_lr` stands for.
    """

    topk_threshold: Tensor

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """As in the class that is replaced."""
        output = super().training_forward_pass(step_input)
        values = output.feature_acts.values()
        if len(values):
            limit = values.min().to(self.topk_threshold)
            rate = max(self.cfg.topk_threshold_lr, _WINDOW / (step_input.n_training_steps + _WINDOW))
            self.topk_threshold = (1 - rate) * self.topk_threshold + rate * limit
        output.metrics["topk_threshold"] = self.topk_threshold
        return output

    def _selected(self, scores: Tensor) -> SparseActive:
        return top_of_batch(scores, int(self.cfg.k * len(scores)))
