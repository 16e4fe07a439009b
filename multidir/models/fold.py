"""An edit of the residual stream folded into weights, so that any engine runs it without a hook.

    addition of v at L5.resid_post     down_proj of block 5: bias += v                     (`mlp_bias`; Llama only)
    addition of v at L0.resid_pre      embedding: every row += v                           (untied from the head)
    projection P = 1 - Q^T Q           every writer: W <- P W, b <- P b; embedding rows too (untied from the head)

What is equal, up to rounding, at every position of prompt and text:

- An addition is the hooked addition at that site.
- A projection is the model in which the *outputs of the chosen writers* are projected: the embedding, and attention and
  MLP of the chosen blocks. With all of them (`everywhere`) the stream has no component along the directions anywhere,
  also between attention and MLP. With the blocks after a site (`from`) the stream keeps the component that it has
  there, and nothing later adds to it. With one block (`at`) only that block's own contribution goes.
- A projection of the *stream* at one site cannot be folded: what comes after reads x / rms(x), and the projection
  changes rms(x), which no weight sees. Hook it instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from multidir.errors import ConfigError
from multidir.models.blocks import check_site, decoder_blocks
from multidir.models.hooks import ResidualFn, residual_hooks
from multidir.records.site import Site
from multidir.types import FloatArray

Where = Literal["everywhere", "from", "at"]

WRITERS = ("self_attn.o_proj", "mlp.down_proj")
"""Linear maps by which a block writes to the stream, with nothing after them, in the families below."""
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class Writers:
    """Modules whose outputs are added to the residual stream."""

    embedding: bool
    blocks: tuple[int, ...]

    def __str__(self) -> str:
        parts = ["the embedding"] * self.embedding
        if self.blocks:
            first, last = self.blocks[0], self.blocks[-1]
            parts.append(f"block {first}" if first == last else f"blocks {first} to {last}")
        return " and ".join(parts)


def choose_writers(model: PreTrainedModel, where: Where, site: Site | None = None) -> Writers:
    """The writers that a projection is folded into.

    Args:
        where: `everywhere`; `from` a site on; or `at` a site, which is what wrote last before it.
        site: for the last two.
    Raises:
        ConfigError: a site that is missing, beyond the model or not asked for, or nothing is written after it.
    """
    count = len(decoder_blocks(model))
    if where not in ("everywhere", "from", "at") or (site is None) != (where == "everywhere"):
        raise ConfigError(
            "a projection is folded in everywhere (without a site), or from a site on, or at a site; "
            f"got {where!r} with {site or 'no site'}"
        )
    if site is None:
        return Writers(True, tuple(range(count)))
    check_site(model, site)
    after = site.layer + (site.stream == "resid_post")
    if where == "at":
        return Writers(False, (after - 1,)) if after else Writers(True, ())
    if after == count:
        raise ConfigError(f"nothing is written to the residual stream after {site}; choose an earlier site")
    return Writers(False, tuple(range(after, count)))


@dataclass(frozen=True)
class Addition:
    """Constants (d,) that are added to the residual stream, by site."""

    vectors: Mapping[Site, FloatArray]

    def __str__(self) -> str:
        return f"adding a constant at {', '.join(map(str, sorted(self.vectors)))}, at all positions"

    def check(self, model: PreTrainedModel) -> None:
        """Refuse a model that this cannot be folded into.

        Raises:
            ConfigError: a site beyond the model, or a family whose MLP has no bias in its configuration.
        """
        _check_family(model, ("llama",), "an addition")
        for site in self.vectors:
            check_site(model, site)

    @contextmanager
    def hooked(self, model: PreTrainedModel) -> Iterator[None]:
        """Do it with hooks."""

        def plus(vector: FloatArray) -> ResidualFn:
            value = torch.as_tensor(vector, dtype=model.dtype, device=model.device)
            return lambda hidden: hidden + value

        with residual_hooks(model, [(site, plus(vector)) for site, vector in self.vectors.items()]):
            yield

    def fold(self, model: PreTrainedModel) -> None:
        """Do it to the weights, in place; see `check`."""
        self.check(model)
        for site, vector in self.vectors.items():
            block = site.layer - (site.stream == "resid_pre")
            if block < 0:
                _untie(model)
                target = _embedding(model).weight
            else:
                _give_biases(model)
                target = _linears(model, Writers(False, (block,)))[-1].bias
            added = target.data.double() + torch.as_tensor(vector, dtype=torch.float64, device=target.device)
            target.data = added.to(target.dtype)


@dataclass(frozen=True)
class Projection:
    """A subspace that is taken out of everything that some modules write."""

    basis: FloatArray
    """(r, d) orthonormal rows Q."""
    writers: Writers

    def __str__(self) -> str:
        return f"projecting {len(self.basis)} dimensions out of all that {self.writers} write, at all positions"

    def check(self, model: PreTrainedModel) -> None:
        """Refuse a model that this cannot be folded into.

        Raises:
            ConfigError: a family whose writers are not two linear maps.
        """
        _check_family(model, FAMILIES, "a projection")

    @contextmanager
    def hooked(self, model: PreTrainedModel) -> Iterator[None]:
        """Do it with hooks, on the outputs of embedding, attention and MLP."""

        def without(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
            return self._out_of(output.reshape(-1, output.shape[-1]).T).T.reshape(output.shape)

        modules: list[nn.Module] = [_embedding(model)] * self.writers.embedding
        with ExitStack() as stack:
            for module in [*modules, *_linears(model, self.writers)]:
                stack.callback(module.register_forward_hook(without).remove)
            yield

    def fold(self, model: PreTrainedModel) -> None:
        """Do it to the weights, in place; see `check`."""
        self.check(model)
        if self.writers.embedding:
            _untie(model)
            table = _embedding(model).weight
            table.data = self._out_of(table.data.T).T.contiguous()
        for linear in _linears(model, self.writers):
            linear.weight.data = self._out_of(linear.weight.data)
            if linear.bias is not None:
                linear.bias.data = self._out_of(linear.bias.data[:, None])[:, 0].contiguous()

    def _out_of(self, columns: Tensor) -> Tensor:
        """(d, m) -> (d, m): P X, computed in float64 and rounded once."""
        q = torch.as_tensor(self.basis, dtype=torch.float64, device=columns.device)
        wide = columns.double()
        return (wide - q.T @ (q @ wide)).to(columns.dtype)


def _check_family(model: PreTrainedModel, families: tuple[str, ...], what: str) -> None:
    family = model.config.model_type
    if family not in families:
        raise ConfigError(
            f"{what} cannot be folded into a model of the family {family!r}, only into {', '.join(families)}; "
            "hook it instead"
        )


def _embedding(model: PreTrainedModel) -> nn.Embedding:
    return cast(nn.Embedding, model.get_input_embeddings())


def _linears(model: PreTrainedModel, writers: Writers) -> list[nn.Linear]:
    blocks = decoder_blocks(model)
    return [cast(nn.Linear, blocks[index].get_submodule(name)) for index in writers.blocks for name in WRITERS]


def _untie(model: PreTrainedModel) -> None:
    """Give the language-model head a table of its own: what it reads with must not change with the embedding."""
    if model.config.tie_word_embeddings:
        head = cast(Any, model).get_output_embeddings()
        head.weight = nn.Parameter(_embedding(model).weight.data.clone(), requires_grad=False)
        model.config.tie_word_embeddings = False


def _give_biases(model: PreTrainedModel) -> None:
    """Biases of zero in every MLP, as `mlp_bias` of a Llama configuration promises them."""
    if model.config.mlp_bias:
        return
    for block in decoder_blocks(model):
        for name in ("gate_proj", "up_proj", "down_proj"):
            linear = cast(nn.Linear, block.get_submodule(f"mlp.{name}"))
            linear.bias = nn.Parameter(linear.weight.new_zeros(linear.out_features), requires_grad=False)
    model.config.mlp_bias = True
