"""Derivatives written by hand, beside a plain twin for those who must see through: torch.func, tracers, ∂²."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from surrogates.errors import SurrogateError


def transformed() -> bool:
    """Whether ``torch.func``, forward-mode derivatives or a tracer look on, which must see plain operations."""
    return (
        torch.compiler.is_compiling()
        or torch._C._functorch.maybe_current_level() is not None
        or forward_ad._current_level >= 0
    )


class Handwritten(ABC):
    """A function of tensors in two forms that agree; calling it picks the one that fits.

    ``plain`` consists of operations that autograd knows. ``forward`` and ``backward`` are the same and its
    transposed derivative without a graph: few operations, in place, keeping only what the way back needs. The plain
    form serves transforms of torch.func, torch.compile and torch.export, and derivatives of derivatives.
    """

    @abstractmethod
    def plain(self, *inputs: Tensor) -> Tensor:
        """Return the result."""

    @abstractmethod
    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Return the result and, if ``keep``, the tensors for the way back; the inputs are kept anyway."""

    @abstractmethod
    def backward(
        self, inputs: Sequence[Tensor], kept: Sequence[Tensor | None], result: Tensor, needs: Sequence[bool]
    ) -> tuple[Tensor | None, ...]:
        """Return the derivatives in the inputs from that in the ``result``; None where not needed."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the result, differentiable in all inputs."""
        if transformed():
            return self.plain(*inputs)
        device = inputs[0].device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            raise SurrogateError(
                "a layered net computes in one precision and was called under torch.autocast: leave it, and "
                "convert net and data with .to(torch.bfloat16) if that precision is wanted"
            )
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
            return _Operation.apply(self, *inputs)
        with torch.no_grad():
            return self.forward(*inputs, keep=False)[0]


def inner(p: Tensor, q: Tensor) -> Tensor:
    """Return ⟨p, q⟩ over all axes but the first, (S,)."""
    p, q = p.flatten(1), q.flatten(1)
    if len(p) > 1:  # torch's batch of 1 × N times N × 1 products is several times slower than this
        return (p * q).sum(1)
    return torch.bmm(p.unsqueeze(1), q.unsqueeze(2)).flatten()


class _Operation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, *inputs):
        result, kept = function.forward(*inputs, keep=True)
        ctx.function, ctx.inputs = function, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        return result

    @staticmethod
    def backward(ctx, result):
        saved = ctx.saved_tensors  # once: what unpacks it may hand it out only once
        inputs, kept = saved[: ctx.inputs], saved[ctx.inputs :]
        needs, again = ctx.needs_input_grad[1:], torch.is_grad_enabled()
        if not again and not transformed() and not torch._C._functorch.is_legacy_batchedtensor(result):
            return None, *ctx.function.backward(inputs, kept, result, needs)
        # create_graph: the derivative will be differentiated; or several are asked for at once, under a vmap
        wanted = [tensor for tensor, need in zip(inputs, needs, strict=True) if need]
        with torch.enable_grad():
            value = ctx.function.plain(*inputs)
        found = torch.autograd.grad(value, wanted, result, create_graph=again, materialize_grads=True)
        each = iter(found)
        return None, *(next(each) if need else None for need in needs)
