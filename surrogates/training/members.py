"""One update of all members of an ensemble: their samples, their losses, and an optimiser with a rate for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surrogates import ensemble
from surrogates.errors import SurrogateError
from surrogates.losses import mse
from surrogates.nets.base import LayeredNet
from surrogates.training.update import Loss


@dataclass(frozen=True)
class Samples:
    """Inputs x and targets y: (n, …) where all members have the same, (S, n, …) where each has its own."""

    x: Tensor
    y: Tensor
    own_x: bool
    own_y: bool

    @staticmethod
    def of(pairs: Sequence[tuple[Tensor, Tensor]], name: str) -> "Samples":
        """Bring the pairs of all members together; a tensor that is the same object in all is not copied."""
        for member, pair in enumerate(pairs):
            shapes, first = ([tuple(part.shape) for part in found] for found in (pair, pairs[0]))
            if shapes != first:
                raise SurrogateError(
                    f"{name}: the data of net {member + 1} have shapes {shapes[0]} and {shapes[1]}, those of the "
                    f"first {first[0]} and {first[1]}: give all nets as many samples, or train them one by one"
                )
        x, y = zip(*pairs, strict=True)
        own_x, own_y = (any(part is not parts[0] for part in parts) for parts in (x, y))
        return Samples(torch.stack(x) if own_x else x[0], torch.stack(y) if own_y else y[0], own_x, own_y)

    def __len__(self) -> int:
        return self.x.shape[1] if self.own_x else len(self.x)

    def batch(self, index: Tensor) -> "Samples":
        """Return the samples ``index`` (S, b) of each member, x and y (S, b, …)."""
        members = (
            torch.arange(len(index), device=index.device).unsqueeze(1) if self.own_x or self.own_y else None
        )

        def taken(values, own):
            values, place = (values.flatten(0, 1), index + len(self) * members) if own else (values, index)
            return values.index_select(0, place.flatten()).unflatten(0, index.shape)

        return Samples(taken(self.x, self.own_x), taken(self.y, self.own_y), True, True)

    def of_member(self, member: int) -> tuple[Tensor, Tensor]:
        """Return the pair of one member."""
        return self.x[member] if self.own_x else self.x, self.y[member] if self.own_y else self.y


def losses(loss: Loss) -> Callable[[Tensor, Samples], Tensor]:
    """Return the function of predictions (S, n, …) and samples that gives the losses (S,) of all members."""

    def squares(prediction, samples):
        if prediction.shape[not samples.own_y :] != samples.y.shape:
            mse(prediction[0], samples.of_member(0)[1])  # which has the sentence for it
        return (prediction - samples.y).square().reshape(len(prediction), -1).mean(1)

    def mapped(prediction, samples):
        found = torch.func.vmap(loss, in_dims=(0, 0 if samples.own_y else None))(prediction, samples.y)
        return found.reshape(len(prediction))

    return squares if loss is mse else mapped


class MemberAdam:
    """Adam, or AdamW on matrices with decay, with a rate and a decay λ for each member.

        w ← (1 − ηλ) w − η u,    u = m̂/(√v̂ + ε)

    The update u is that of ``torch.optim.Adam`` itself: at rate 1 it moves tensors from zero to −u, and η, which
    its kernels take for a whole tensor alone, is multiplied afterwards. Adam is elementwise, so that
    members do not meet; what a member's numbers are, finite or not, is of no consequence for another. Three
    passes more over the weights than one Adam makes.
    """

    def __init__(self, net: LayeredNet, decays: Sequence[float]):
        self._held = [found for found in ensemble.holders(net) if found[1].requires_grad]
        self._decays, self._members, home = decays, net.members, net.lift_weight
        self._places = [
            None if members is None else torch.tensor(members, device=home.device)
            for _, _, members in self._held
        ]
        self.parameters = [parameter for _, parameter, _ in self._held]
        self._updates = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.adam = torch.optim.Adam(self._updates, lr=1.0, fused=True)
        self._rates, self._kept = [], []

    def set_rates(self, rates: Sequence[float]) -> None:
        """Set the learning rate of each member, for all updates until the next call."""
        kept = [1 - rate * decay for rate, decay in zip(rates, self._decays, strict=True)]
        self._rates, self._kept = self._spread(rates), self._spread(kept)

    def norms(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return the norm of the whole gradient of each member, (S,)."""
        found = []
        for gradient, place in zip(gradients, self._places, strict=True):
            norm = torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1)
            found.append(norm if place is None else norm.new_zeros(self._members).index_copy(0, place, norm))
        return torch.linalg.vector_norm(torch.stack(found), dim=0)

    def scaled(self, gradients: Sequence[Tensor], factors: Tensor) -> list[Tensor]:
        """Return the gradients of each member times its factor, ``factors`` (S,)."""
        return [
            gradient * self._beside(factors, gradient, place)
            for gradient, place in zip(gradients, self._places, strict=True)
        ]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update all weights in place."""
        for update, gradient in zip(self._updates, gradients, strict=True):
            update.zero_()
            update.grad = (
                gradient.contiguous()
            )  # torch's kernel for the CPU reads it so, whatever its strides
        self.adam.step()
        for (name, parameter, _), update, rate, kept in zip(
            self._held, self._updates, self._rates, self._kept, strict=True
        ):
            if any(self._decays) and name.endswith("weight"):
                parameter.mul_(kept)
            parameter.addcmul_(update, rate)

    def _spread(self, values: Sequence[float]) -> list[Tensor]:
        """One number a member beside each parameter, (S, 1, …)."""
        together = torch.tensor(values, dtype=self.parameters[0].dtype, device=self.parameters[0].device)
        return [
            self._beside(together, parameter, place)
            for parameter, place in zip(self.parameters, self._places, strict=True)
        ]

    @staticmethod
    def _beside(values: Tensor, like: Tensor, place: Tensor | None) -> Tensor:
        values = values if place is None else values.index_select(0, place)
        return values.reshape(-1, *(1,) * (like.ndim - 1))
