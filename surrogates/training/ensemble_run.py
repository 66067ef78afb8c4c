"""The state of a training of many nets as one, from epoch to epoch."""

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from surrogates import ensemble
from surrogates.errors import SurrogateError
from surrogates.nets.base import LayeredNet
from surrogates.order import Order
from surrogates.training.members import MemberAdam, Samples, losses
from surrogates.training.settings import Settings
from surrogates.training.trace import EpochState, Result, Trace
from surrogates.training.update import Loss, where


@dataclass
class Member:
    """What one net has to show for its training; ``failure`` says where it left the numbers, if it did."""

    trace: Trace
    best_epoch: int = 0
    best_loss: float = math.inf
    patient: bool = True
    failure: str = ""

    @property
    def active(self) -> bool:
        """Whether it takes part in the next epoch."""
        return self.patient and not self.failure


class EnsembleRun:
    """An ensemble in training, and what is kept of each member.

    All members are computed to the end, but what is kept of one that has finished does not change any more. One
    host synchronisation an update, as in single training: losses and gradient norms of all members.
    """

    def __init__(self, net: LayeredNet, settings: Sequence[Settings], loss: Loss, valid: Samples):
        self.net, self.settings, self.valid, self.epoch = net, settings, valid, 0
        self.losses = losses(loss)
        self.samplers = [torch.Generator().manual_seed(each.seed) for each in settings]
        self.members = [Member(Trace(steps=[steps], order=order)) for steps, order in self._times()]
        self.best, self.faults = copy.deepcopy(net), {}
        self.optimiser = MemberAdam(net, [each.weight_decay for each in settings])
        self.rates = [0.0] * len(settings)
        # Views of the values, which all updates change in place.
        self._live, self._kept = (
            [ensemble.state(whole, member) for member in range(net.members)] for whole in (net, self.best)
        )
        limits = [math.inf if each.clip is None else each.clip for each in settings]
        home = net.lift_weight
        self._clips = None
        if min(limits) < math.inf:
            self._clips = torch.tensor(limits, dtype=home.dtype, device=home.device)

    def active(self) -> list[int]:
        """The members that take part in the next epoch."""
        return [index for index, member in enumerate(self.members) if member.active]

    def one_epoch(self, samples: Samples, known: str) -> None:
        """One pass of each member over its samples in its own order, then the validation.

        ``known`` ends the sentence of a failure.
        """
        batch = self.settings[0].batch
        self.rates = [
            each.learning_rate * each.rate(self.epoch, member.trace.valid_loss)
            for each, member in zip(self.settings, self.members, strict=True)
        ]
        self.optimiser.set_rates(self.rates)
        self.net.train()
        batches = [samples]
        if batch is not None:
            orders = [torch.randperm(len(samples), generator=sampler) for sampler in self.samplers]
            parts = torch.stack(orders).to(samples.x.device).split(batch, 1)
            batches = (samples.batch(part) for part in parts)
        total, norms, clipped, updates = ([0.0] * len(self.members) for _ in range(4))
        for part in batches:
            for index, (value, norm) in enumerate(zip(*self._update(part, known), strict=True)):
                limit = self.settings[index].clip
                total[index] += value * len(part)
                norms[index] += norm
                clipped[index] += limit is not None and norm > limit
                updates[index] += 1
        valid_losses = self._validate(known)
        self.epoch += 1
        times = self._times()
        for index in self.active():
            trace, count = self.members[index].trace, updates[index]
            trace.train_loss.append(total[index] / len(samples))
            trace.valid_loss.append(valid_losses[index])
            trace.learning_rate.append(self.rates[index])
            trace.gradient_norm.append(norms[index] / count)
            trace.clipped.append(clipped[index] / count)
            trace.evaluations.append(int(count))
            steps, order = times[index]
            trace.steps.append(steps)
            trace.order.extend(order)
            self._compare(index)

    def _update(self, samples: Samples, known: str) -> list[list[float]]:
        """One step of all members; returns losses and gradient norms at the weights it started from."""
        values = self.losses(self.net(samples.x), samples)
        gradients = torch.autograd.grad(values.sum(), self.optimiser.parameters, materialize_grads=True)
        norms = self.optimiser.norms(gradients)
        found = torch.stack((values.detach(), norms)).tolist()
        self._look(found[0], "the loss", samples, known)
        self._look(found[1], "the gradient", samples, known)
        if self._clips is not None:
            # A member without a limit has the factor inf/…, hence 1, unless it has left the numbers.
            gradients = self.optimiser.scaled(gradients, (self._clips / (norms + 1e-6)).clamp(max=1))
        self.optimiser.step(gradients)
        return found

    @torch.no_grad()
    def _validate(self, known: str) -> list[float]:
        """The losses of all members on their whole validation sets, in evaluation mode."""
        self.net.eval()
        # In parts, so that all members together take no more room than one does.
        size = max(-(-len(self.valid) // len(self.members)), 256)
        parts = self.valid.x.split(size, 1 if self.valid.own_x else 0)
        prediction = torch.cat([self.net(part) for part in parts], 1)
        found = self.losses(prediction, self.valid).tolist()
        self._look(found, "the validation loss", self.valid, known)
        return found

    def _look(self, values: Sequence[float], what: str, samples: Samples, known: str) -> None:
        """Take out of the run the members whose value is not finite, with their weights as they are."""
        for index in self.active():
            if not math.isfinite(values[index]):
                single = ensemble.unstack(self.net)[index]
                text = where(single, samples.of_member(index)[0], what)
                self.members[index].failure = f"training stopped in epoch {self.epoch + 1}: {text}; {known}"
                self.faults[index] = single.state_dict()

    def _compare(self, index: int) -> None:
        """Keep the weights of a member if they are its best so far."""
        member = self.members[index]
        loss = member.trace.valid_loss[-1]
        if loss < member.best_loss:
            member.best_epoch, member.best_loss = self.epoch, loss
            for name, value in self._live[index].items():
                self._kept[index][name].copy_(value)
        member.patient = not self.settings[index].out_of_patience(member.trace.valid_loss)

    def show(self, nets: Sequence[LayeredNet], members: Sequence[int]) -> list[tuple[int, EpochState]]:
        """Give the nets their weights as they stand, and return them with the state after this epoch."""
        found = []
        for index in members:
            member = self.members[index]
            if not member.failure:
                nets[index].load_state_dict(self._live[index])
                epochs, best = self.settings[index].epochs, (member.best_epoch, member.best_loss)
                found.append((index, EpochState(nets[index], self.epoch, epochs, *best, member.trace)))
        return found

    def finish(self, nets: Sequence[LayeredNet], seconds: float) -> list[Result | SurrogateError]:
        """Give the nets their best weights, or those at fault, and return what came of each."""
        ensemble.assign(self.best, nets)
        found = []
        for index, member in enumerate(self.members):
            if member.failure:
                nets[index].load_state_dict(self.faults[index])
                found.append(SurrogateError(member.failure))
            else:
                epochs, ended = len(member.trace.valid_loss), "epochs" if member.patient else "patience"
                best = member.best_epoch, member.best_loss
                found.append(Result(*best, epochs, ended, member.trace, seconds))
        return found

    def content(self) -> dict[str, Any]:
        """Everything that goes on with the run, for a checkpoint."""
        return {
            "weights": self.net.state_dict(),
            "best": self.best.state_dict(),
            "faults": self.faults,
            "optimiser": self.optimiser.adam.state_dict(),
            "samplers": [sampler.get_state() for sampler in self.samplers],
            "members": [asdict(member) for member in self.members],
            "epoch": self.epoch,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.net.load_state_dict(content["weights"])
        self.best.load_state_dict(content["best"])
        self.optimiser.adam.load_state_dict(content["optimiser"])
        for sampler, state in zip(self.samplers, content["samplers"], strict=True):
            sampler.set_state(state.cpu())
        self.members = [
            Member(**{**member, "trace": Trace(**member["trace"])}) for member in content["members"]
        ]
        self.epoch, self.faults = content["epoch"], content["faults"]

    @torch.no_grad()
    def _times(self) -> list[tuple[list[float], list[float]]]:
        """The present steps of all members, and with each its order in a list, empty if never learned."""
        steps, orders = self.net.time().tolist(), getattr(self.net, "order", None)
        if not isinstance(orders, Order):
            return [(row, []) for row in steps]
        learned = [any(True for _ in orders.groups[orders.of(i)[0]].parameters()) for i in range(len(steps))]
        values = orders().tolist()
        return [(row, values[i : i + 1] if learned[i] else []) for i, row in enumerate(steps)]
