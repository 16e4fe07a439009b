"""Every architecture written densely with autograd: the oracle that the exact-sparse steps are held against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, relu

from multidir.sae.spec import BY_COUNT, DictionarySpec, Training
from multidir.sae.weights import Weights


class _Window(torch.autograd.Function):
    """x > threshold, whose derivative by the threshold is minus a rectangle of the bandwidth."""

    @staticmethod
    def forward(ctx, x, threshold, bandwidth):
        ctx.save_for_backward(x, threshold)
        ctx.bandwidth = bandwidth
        return (x > threshold).to(x)

    @staticmethod
    def backward(ctx, grad):
        x, threshold = ctx.saved_tensors
        near = ((x - threshold).abs() < ctx.bandwidth / 2).to(x) / ctx.bandwidth
        return None, -(near * grad).sum(0), None


def activations(weights: Weights, spec: DictionarySpec, training: Training, pre: Tensor, k: int) -> Tensor:
    lengths = weights.dec.norm(dim=1)  # a latent is selected by how much it moves the reconstruction
    if spec.architecture == "topk":
        top = torch.topk(pre * lengths, k, dim=1)
        return torch.zeros_like(pre).scatter(1, top.indices, relu(top.values)) / lengths
    if spec.architecture in ("batchtopk", "matryoshka", "crosscoder"):
        flat = relu(pre * lengths).flatten()
        top = torch.topk(flat, k * len(pre))
        return torch.zeros_like(flat).scatter(0, top.indices, top.values).reshape(pre.shape) / lengths
    if spec.architecture == "jumprelu":
        # the jump itself: threshold times the step's derivative, as in the paper's equation 11
        on = (pre > weights.threshold).to(pre)
        return pre * on + weights.threshold * (_Window.apply(pre, weights.threshold, training.bandwidth) - on)
    return relu(pre)


def dense_loss(
    weights: Weights, spec: DictionarySpec, training: Training, x: Tensor, k: int, dead: Tensor | None = None
) -> Tensor:
    """The whole loss of one step, auxiliary loss included."""
    pre = (x - weights.dec_bias) @ weights.enc.T + weights.enc_bias
    acts = activations(weights, spec, training, pre, k)
    loss = torch.zeros((), dtype=x.dtype)
    for size in spec.levels:
        error = acts[:, :size] @ weights.dec[:size] + weights.dec_bias - x
        loss = loss + error.square().sum(1).mean()
    if spec.architecture == "standard":
        loss = loss + training.l1_weight * acts.sum(1).mean()
    if spec.architecture == "jumprelu":
        l0 = _Window.apply(pre, weights.threshold, training.bandwidth).sum(1)
        loss = loss + training.l0_weight * (2 / k * (l0 - k).square()).mean()
    if dead is not None and len(dead):
        wanted = training.aux_k or spec.d // 2
        lengths = weights.dec[dead].norm(dim=1, keepdim=True).detach()
        scores = pre[:, dead] * lengths.T if spec.architecture in BY_COUNT else pre[:, dead]
        top = torch.topk(scores, min(wanted, len(dead)), dim=1)
        chosen = torch.zeros_like(scores).scatter(1, top.indices, pre[:, dead].gather(1, top.indices))
        dec = normalize(weights.dec[dead], dim=1) * lengths
        residual = -error.detach()
        scale = training.aux * min(1.0, len(dead) / wanted)
        loss = loss + scale * (chosen @ dec - residual).square().sum(1).mean()
    return loss


def dense_gradients(*args, **kwargs) -> dict[str, Tensor]:
    weights = args[0]
    parameters = weights.named()
    found = torch.autograd.grad(dense_loss(*args, **kwargs), list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(parameters.items(), found, strict=True)
    }
