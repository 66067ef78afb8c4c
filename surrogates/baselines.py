"""Baselines: feed-forward, residual, convolutional, recurrent nets from torch's own parts, without time steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surrogates.errors import SurrogateError


class Baseline(nn.Module, ABC):
    """A plain net x (batch, inputs) ↦ (batch, outputs): the honest opponent of a net with time steps.

    Parameters are drawn from ``generator`` in the order of the layers by torch's own law, each entry uniform
    in ±1/√(numbers that enter one entry of the layer's result): equal seeds give equal weights, and the
    global generator is left alone when one is given.

    An x that is no tensor, or of a wrong shape, dtype or device, raises ``SurrogateError``; NaN is not looked for.
    """

    inputs: int
    outputs: int
    readout: nn.Linear

    @abstractmethod
    def represent(self, x: Tensor) -> Tensor:
        """Return what the linear readout sees, shape (batch, …)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction (batch, outputs) for x (batch, inputs)."""
        if not torch.compiler.is_compiling():  # a compiled or exported net does not pay for the door
            self._check(x)
        return self.readout(self.represent(x))

    def extra_repr(self) -> str:
        """Describe the architecture in one line."""
        return f"inputs={self.inputs}, outputs={self.outputs}"

    def _demand(self, sizes: dict[str, int]) -> None:
        for name, size in sizes.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise SurrogateError(
                    f"{type(self).__name__} needs a whole number >= 1 for {name}, but {name}={size!r}"
                )

    def _check(self, x: Tensor) -> None:
        name, weight = type(self).__name__, self.readout.weight
        if not isinstance(x, Tensor):
            raise SurrogateError(
                f"{name} expects a tensor of inputs of shape (batch, {self.inputs}), but was given "
                f"{type(x).__name__}: make one with torch.as_tensor(...)"
            )
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise SurrogateError(
                f"{name} expects inputs of shape (batch, {self.inputs}), but was given {tuple(x.shape)}"
            )
        if x.dtype != weight.dtype or x.device != weight.device:
            raise SurrogateError(
                f"{name} holds {weight.dtype} on {weight.device}, but was given {x.dtype} on {x.device}: "
                "convert one of them with .to(...)"
            )


class FeedForward(Baseline):
    """y_0 = σ(K_0 x + b_0), y_l = σ(K_l y_{l−1} + b_l) for l = 1 … L, R y_L + r: no skips, no time.

    The ResNet of equal ``width`` and L = ``layers`` without its identity, and with as many parameters as one
    with fixed steps. Cost linear in L. Not beyond some twenty layers: without skips the gradient at early ones
    shrinks or grows like the product of all ‖K_l‖.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        layers: int,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self._demand({"inputs": inputs, "outputs": outputs, "width": width, "layers": layers})
        self.inputs, self.outputs, self.width, self.layers = inputs, outputs, width, layers
        self.activation = activation
        self.hidden = nn.ModuleList(
            _drawn(
                generator, inputs if layer == 0 else width, nn.Linear, inputs if layer == 0 else width, width
            )
            for layer in range(layers + 1)
        )
        self.readout = _drawn(generator, width, nn.Linear, width, outputs)

    def represent(self, x: Tensor) -> Tensor:
        """Return y_L, shape (batch, width)."""
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x

    def extra_repr(self) -> str:
        """Add width, layers and activation to the description."""
        return (
            f"{super().extra_repr()}, width={self.width}, layers={self.layers}, "
            f"activation={_named(self.activation)}"
        )


class Block(nn.Module):
    """y ↦ V σ(K y + b): the increment of a two-weight residual block; K, V (w, w), b (w,)."""

    def __init__(self, width: int, generator: torch.Generator | None = None):
        super().__init__()
        self.inner = _drawn(generator, width, nn.Linear, width, width)
        self.outer = _drawn(generator, width, nn.Linear, width, width, bias=False)


class Blocks(Baseline):
    """y_0 = σ(K_0 x + b_0), y_l = y_{l−1} + V_l σ(K_l y_{l−1} + b_l), R y_L + r: two-weight residual blocks.

    Shapes: x (batch, inputs), y (batch, width), ``layers`` L blocks. Without time steps: the outer weights V do
    what τ does in a ``ResNet``, and V = 0 is a block at rest. Twice the weights of a ``ResNet`` of equal width.
    Drawn as the other baselines; raises ``SurrogateError`` as they do. Source: SensLI (arXiv 2311.15995).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        layers: int,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self._demand({"inputs": inputs, "outputs": outputs, "width": width, "layers": layers})
        self.inputs, self.outputs, self.width, self.layers = inputs, outputs, width, layers
        self.activation = activation
        self.first = _drawn(generator, inputs, nn.Linear, inputs, width)
        self.hidden = nn.ModuleList(Block(width, generator) for _ in range(layers))
        self.readout = _drawn(generator, width, nn.Linear, width, outputs)

    def represent(self, x: Tensor) -> Tensor:
        """Return y_L, shape (batch, width)."""
        y = self.activation(self.first(x))
        for block in self.hidden:
            y = y + block.outer(self.activation(block.inner(y)))
        return y

    def extra_repr(self) -> str:
        """Add width, layers and activation to the description."""
        return (
            f"{super().extra_repr()}, width={self.width}, layers={self.layers}, "
            f"activation={_named(self.activation)}"
        )


class Convolutional(Baseline):
    """``layers`` 1-D convolutions over the receivers, zero beyond their ends, then a linear readout of all.

    x (batch, channels·receivers) is channel-major: all receivers of the first channel, then of the second; a
    channel is a source's real or imaginary part, as in ``data.transforms.Normalise``. Each convolution takes
    an odd number ``kernel`` of neighbouring receivers to ``width`` channels, σ after each. Cost per sample
    receivers·kernel·width² a layer. The readout has width·receivers columns, so that positions count. Not for
    data in no spatial order, such as principal components.
    """

    def __init__(
        self,
        channels: int,
        receivers: int,
        outputs: int,
        width: int,
        layers: int,
        kernel: int = 3,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self._demand({"channels": channels, "receivers": receivers, "outputs": outputs})
        self._demand({"width": width, "layers": layers, "kernel": kernel})
        if kernel % 2 == 0:
            raise SurrogateError(
                f"Convolutional needs an odd kernel, centred on a receiver, but kernel={kernel}: give "
                f"{kernel - 1} or {kernel + 1}"
            )
        self.channels, self.receivers, self.outputs = channels, receivers, outputs
        self.inputs, self.width, self.layers, self.kernel = channels * receivers, width, layers, kernel
        self.activation = activation
        hidden = []
        for layer in range(layers):
            entering = channels if layer == 0 else width
            options = {"kernel_size": kernel, "padding": kernel // 2}
            hidden.append(_drawn(generator, entering * kernel, nn.Conv1d, entering, width, **options))
        self.hidden = nn.ModuleList(hidden)
        self.readout = _drawn(generator, width * receivers, nn.Linear, width * receivers, outputs)

    def represent(self, x: Tensor) -> Tensor:
        """Return all channels at all receivers, shape (batch, width·receivers)."""
        x = x.unflatten(1, (self.channels, self.receivers))
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x.flatten(1)

    def extra_repr(self) -> str:
        """Add layout, width, layers, kernel and activation to the description."""
        return (
            f"{super().extra_repr()}, channels={self.channels}, receivers={self.receivers}, "
            f"width={self.width}, layers={self.layers}, kernel={self.kernel}, "
            f"activation={_named(self.activation)}"
        )


class Recurrent(Baseline):
    """``layers`` gated recurrent units over a sequence of sources or frequencies, linear readout of the last.

    x (batch, steps·features) is step-major: all features of the first source, then of the second, as
    ``data.transforms.Normalise`` lays them out with as many ``steps``. The units are ``torch.nn.GRU``; cost per
    sample 6·steps·width² a layer, one step after the other. Not for sources in no order worth remembering.
    Source: Cho et al. (arXiv 1406.1078), in torch's form.
    """

    def __init__(
        self,
        steps: int,
        features: int,
        outputs: int,
        width: int,
        layers: int = 1,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self._demand({"steps": steps, "features": features, "outputs": outputs})
        self._demand({"width": width, "layers": layers})
        self.steps, self.features, self.inputs, self.outputs = steps, features, steps * features, outputs
        self.width, self.layers = width, layers
        self.units = _drawn(generator, width, nn.GRU, features, width, num_layers=layers, batch_first=True)
        self.readout = _drawn(generator, width, nn.Linear, width, outputs)

    def represent(self, x: Tensor) -> Tensor:
        """Return the last layer's state after the last step, shape (batch, width)."""
        states, _ = self.units(x.unflatten(1, (self.steps, self.features)))
        return states[:, -1]

    def extra_repr(self) -> str:
        """Add layout, width and layers to the description."""
        return (
            f"{super().extra_repr()}, steps={self.steps}, features={self.features}, width={self.width}, "
            f"layers={self.layers}"
        )


BASELINES: tuple[type[Baseline], ...] = (FeedForward, Blocks, Convolutional, Recurrent)
"""Every baseline; tests and stored models run over this list."""


def _drawn(generator, columns, layer, *sizes, **options):
    # Born on meta: a layer's own initialiser would draw from the global generator, only to be overwritten.
    made = layer(*sizes, device="meta", **options).to_empty(device=torch.get_default_device())
    for parameter in made.parameters():
        nn.init.uniform_(parameter, -(columns**-0.5), columns**-0.5, generator=generator)
    return made


def _named(activation) -> str:
    return getattr(activation, "__name__", repr(activation))
