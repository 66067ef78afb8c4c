"""The fractional net as public codes write it: a Python loop over all pairs of layers, everything by autograd."""

import math

import torch
from torch import Tensor, nn

from surrogates import Fractional


class PairwiseLoop(nn.Module):
    """The function of a ``Fractional`` net, with its values, as a double loop:

        for l = 1 … L:   y_l = y_{l−1} + Γ(2−γ) τ_l^γ tanh(K_l y_{l−1} + b_l) − Σ_{j<l} a_{l,j} (y_j − y_{j−1}),

    each a_{l,j} = (τ_l^γ/τ_j) (S_{j,l}^{1−γ} − S_{j+1,l}^{1−γ}) from scalar tensors at the moment of its use.
    It is what the fast net is measured against, not a net to train: O(L²) operations of the interpreter.

    Faithful to the public codes of fractional nets: loops over l and over j < l, coefficients by powers of sums
    of the steps, one product and one subtraction of whole states a pair, one ``nn.Linear`` a layer, and autograd's
    graph over all of it. Different, each time to the loop's advantage or because the result would be wrong:

    - coefficients are differentiated, as they must be for the derivative in the steps; public codes put them
      under ``no_grad``. ``constant=True`` goes further: all a and c are numbers computed once, when the
      object is made, and a pair costs its product and subtraction alone; the steps then receive no gradient;
    - a sum of steps is one operation on a slice (public codes add scalar by scalar, O(L³) in all), and an
      increment is formed once a layer (others form it in each pair, out of a history copied at each layer);
    - Γ is Γ, layers have weights of their own, and steps come from a time grid, positive by construction.
    """

    def __init__(self, net: Fractional, constant: bool = False):
        super().__init__()
        self.order = float(net.order)
        self.time = net.time
        self.lift = _linear(net.lift_weight, net.lift_bias)
        self.layers = nn.ModuleList(map(_linear, net.layer_weight, net.layer_bias))
        self.readout = _linear(net.readout_weight, net.readout_bias)
        self.constants = None
        if constant:
            with torch.no_grad():
                tau = self.time()
                rows = [[float(self.coefficient(tau, i, j)) for j in range(i)] for i in range(len(tau))]
                self.constants = rows, [float(self.gain(step)) for step in tau]

    def coefficient(self, tau: Tensor, layer: int, earlier: int) -> Tensor:
        """Return a of a pair earlier < layer, both counted from 0."""
        power = 1 - self.order
        spans = tau[earlier : layer + 1].sum() ** power - tau[earlier + 1 : layer + 1].sum() ** power
        return tau[layer] ** self.order / tau[earlier] * spans

    def gain(self, step: Tensor) -> Tensor:
        """Return c = Γ(2−γ) τ^γ."""
        return math.gamma(2 - self.order) * step**self.order

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction (batch, outputs) for x (batch, inputs)."""
        y, increments = torch.tanh(self.lift(x)), []
        tau = None if self.constants else self.time()
        for layer, linear in enumerate(self.layers):
            gain = self.gain(tau[layer]) if tau is not None else self.constants[1][layer]
            state = y + gain * torch.tanh(linear(y))
            for earlier, increment in enumerate(increments):
                pair = (
                    self.coefficient(tau, layer, earlier)
                    if tau is not None
                    else self.constants[0][layer][earlier]
                )
                state = state - pair * increment
            increments.append(state - y)
            y = state
        return self.readout(y)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight = nn.Parameter(weight.detach().clone())
    made.bias = nn.Parameter(bias.detach().clone())
    return made
