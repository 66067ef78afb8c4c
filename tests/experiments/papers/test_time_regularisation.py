"""Steps that are held or bounded, nets from rest, the training of one network, and the whole in miniature."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import idx_files
import pytest
import torch

from experiments import cli
from experiments.errors import StudyError
from experiments.papers import images, pictures
from experiments.papers.classifying import Classifier, Variant, build, train
from experiments.papers.held_steps import LEAST, Bounded, FromRest, Held, descent
from experiments.papers.outcomes import difference
from experiments.papers.reproduction import reproduce, settings_of
from experiments.papers.time_regularisation import LABELS, Trained, measure, where_pruned
from experiments.papers.work import Work
from surrogates import Fractional, ResNet, TimeGrid


def settings(**changes):
    quick = settings_of("time-regularisation", "quick", changes.pop("images", None))
    budgets = {key: {"seeds": 2, "epochs": 2, "learning_rate": 0.1} for key in quick.budgets}
    table = quick.model_dump() | {"layers": 2, "width": 6, "horizons": (1.0,), "budgets": budgets}
    return type(quick).model_validate(table | changes)


def classifier(variant, **changes):
    common = {
        "data": "digits",
        "digest": "",
        "folder": None,
        "seed": 1,
        "horizon": 1.0,
        "layers": 3,
        "width": 8,
    }
    common |= {"order": 0.5, "batch": 100, "epochs": 2, "learning_rate": 0.1}
    return Classifier(variant=variant, **common | changes)


def net_of(grid, family=ResNet, **options):
    generator = torch.Generator().manual_seed(0)
    return family(
        4, 3, 5, grid, activation=torch.relu, generator=generator, timed_lift=True, **options
    ).double()


def sample(count=7):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, generator=draw, dtype=torch.float64), torch.arange(count) % 3


def descend(net, rate=0.1, times=1):
    optimiser, (x, y) = descent(net, rate), sample()
    for _ in range(times):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()


def test_of_held_steps_the_first_stays_and_the_others_move_as_free_ones_do():
    held, free = net_of(Held(4)), net_of(TimeGrid.free(4))
    for net in (held, free):
        descend(net)
    assert held.time()[0].item() == 0.25 != free.time()[0].item()
    torch.testing.assert_close(held.time()[1:], free.time()[1:], rtol=0, atol=0)
    assert not torch.equal(held.time()[1:], torch.full((3,), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounded_steps_move_as_free_ones_do_and_are_projected(dtype):
    bounded, free = net_of(Bounded(4)), net_of(TimeGrid.free(4))
    for net in (bounded, free):
        descend(net)
    torch.testing.assert_close(bounded.time(), free.time(), rtol=0, atol=1e-15)
    bounded.to(dtype)
    optimiser = descent(bounded, 1.0)
    bounded.time.steps.grad = torch.tensor([9.0, 0, 0, 0], dtype=dtype)
    optimiser.step()
    assert bounded.time()[0].item() == bounded.time.steps[0].item() == pytest.approx(LEAST)
    optimiser.zero_grad()
    bounded.time().sum().backward()
    assert bounded.time.steps.grad.tolist() == [1.0] * 4, "a step at the bound can leave it"


def test_a_negative_step_is_never_seen_by_a_power_of_it():
    grid = Bounded(4)
    with torch.no_grad():
        grid.steps[1] = -3.0
    net = net_of(grid, FromRest, order=0.5)
    assert net(sample()[0]).isfinite().all()
    assert grid().min().item() == pytest.approx(LEAST)


def slowly_from_rest(net, x):
    """The recursion entry by entry, from the state 0, by the formula of the L1 scheme."""
    order, tau = net.order, net.time().tolist()
    weights, biases = (
        [first, *others]
        for first, others in ((net.lift_weight, net.layer_weights()), (net.lift_bias, net.layer_biases()))
    )
    state, increments = torch.zeros(len(x), net.width, dtype=x.dtype), []
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        step = (
            math.gamma(2 - order) * tau[i] ** order * torch.relu((x if i == 0 else state) @ weight.T + bias)
        )
        for j, increment in enumerate(increments):
            away = sum(tau[j : i + 1]) ** (1 - order) - sum(tau[j + 1 : i + 1]) ** (1 - order)
            step = step - tau[i] ** order / tau[j] * away * increment
        increments.append(step)
        state = state + step
    return state @ net.readout_weight.T + net.readout_bias


def test_a_net_from_rest_is_the_recursion_from_rest_at_any_steps():
    net = net_of(TimeGrid.fixed(steps=[0.4, 0.1, 0.7, 0.2]), FromRest, order=0.3)
    x = sample()[0]
    torch.testing.assert_close(net(x), slowly_from_rest(net, x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(net.readout(net.states(x)[-1]), net(x), rtol=0, atol=0)
    after_lift = net_of(TimeGrid.fixed(steps=[0.4, 0.1, 0.7, 0.2]), Fractional, order=0.3)
    assert (after_lift(x) - net(x)).abs().max() > 1e-2


def test_the_derivative_by_the_steps_is_exact():
    net = net_of(Bounded(4), FromRest, order=0.5)
    x, y = sample()

    def loss(steps):
        return torch.nn.functional.cross_entropy(
            torch.func.functional_call(net, {"time.steps": steps}, (x,)), y
        )

    steps = torch.tensor([0.3, 0.2, 0.4, 0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (steps,))


def test_networks_of_a_seed_share_their_weights_and_have_no_bias_to_read_out():
    variants = settings().variants()
    nets = {name: build(classifier(variant), 64) for name, variant in variants.items()}
    first = nets["fixed"].state_dict()
    for name, net in nets.items():
        state = net.state_dict()
        assert all(torch.equal(state[key], first[key]) for key in first if not key.startswith("time.")), name
        assert torch.equal(net.time(), nets["fixed"].time()), name
        assert not net.readout_bias.any()
        assert not net.readout_bias.requires_grad
    counted = {
        name: sum(p.numel() for p in net.parameters() if p.requires_grad) for name, net in nets.items()
    }
    assert counted["learned"] - counted["fixed"] == 4
    assert counted["held"] - counted["fixed"] == 3
    assert counted["fractional-learned"] - counted["fractional-fixed"] == 4


def test_what_is_fixed_stays_and_the_loss_has_no_regulariser_in_it(tmp_path):
    fixed = train(classifier(Variant()).model_dump(mode="json"), tmp_path)
    assert fixed["steps"] == [0.25] * 4
    heavy = Variant(steps="held", horizon_weight=0.05, magnitude_weight=300.0)
    free = train(classifier(heavy, epochs=1, learning_rate=1e-4).model_dump(mode="json"), tmp_path / "b")
    assert free["regulariser"] > 50
    assert 2 < free["loss"] < 3, "cross entropy of hardly trained nets: log 10"
    assert 2 < free["valid_loss"][-1] < 3


def test_pruned_layers_leave_their_place_open(tmp_path):
    """λ so large that every step falls below any share: what is left is the lift and one layer."""
    pruned = Variant(steps="free", magnitude_weight=0.2, threshold=0.2)
    found = train(classifier(pruned, epochs=8).model_dump(mode="json"), tmp_path)
    assert found["removed"] == len(found["pruned"]) == found["steps"].count(None) > 0
    assert found["steps"][0] is not None
    assert len(found["steps"]) == 4
    assert math.fsum(step for step in found["steps"] if step is not None) == pytest.approx(found["horizon"])
    assert not list(tmp_path.glob("*.pt"))


def test_a_training_that_leaves_the_numbers_is_a_result(tmp_path):
    found = train(classifier(Variant(), learning_rate=1e30).model_dump(mode="json"), tmp_path)
    assert "not finite" in found["failed"]
    here = Trained(1.0, {"fixed": {0: found}})
    assert here.accuracy("fixed").value is None


def outcome(accuracy, removed=0, work=1.0):
    return {"failed": "", "accuracy": accuracy, "removed": removed, "work": work}


def test_pruning_is_compared_where_a_layer_went():
    found = {
        "pruned": {0: outcome(0.9, 0), 1: outcome(0.8, 2, 0.5), 2: outcome(0.7, 1, 0.5)},
        "learned": {seed: outcome(0.9) for seed in range(3)},
        "held": {seed: outcome(0.9) for seed in range(3)},
    }
    here = Trained(1.0, found)
    cost = where_pruned(here, "pruned", "learned", "accuracy", difference)
    assert (cost.value, cost.count) == (pytest.approx(-0.15), 2)
    assert cost.note == "a layer went in 2 of 3 seeds"
    none = where_pruned(here, "held", "learned", "accuracy", difference)
    assert (none.value, none.note) == (None, "no layer went in any seed")


@pytest.mark.slow
def test_the_whole_on_digits_and_a_second_run_is_the_same(tmp_path, monkeypatch):
    with ThreadPoolExecutor(1) as pool:
        once = reproduce("time-regularisation", tmp_path, pool, settings=settings())
    assert len(list(tmp_path.glob("experiments/*/result.json"))) == 2 * len(LABELS)
    monkeypatch.setattr(pictures, "write", lambda path, made: None)
    again = measure(settings(), Work(tmp_path, executor=None))  # nobody to compute: all of it is kept
    assert {name: {case: str(number) for case, number in cases.items()} for name, cases in again.items()} == {
        name: {case: number["measured"] for case, number in claim["cases"].items()}
        for name, claim in once["claims"].items()
    }
    assert once["pictures"] == ["accuracy.png", "loss.png", "steps-digits.png", "verdicts.png"]
    cases = {name: claim["cases"] for name, claim in once["claims"].items()}
    for short, name in (("mnist", "MNIST"), ("fashion", "Fashion-MNIST")):
        for shown in ("learned", "fractional", "resnet"):
            (only,) = cases[f"{short}-{shown}"]
            assert only == f"{name} not found (--images FOLDER)"
            assert cases[f"{short}-{shown}"][only]["verdict"] == "not shown"
    assert all("digits (scikit-learn" in case for case in cases["learned-more-accurate"])


def test_the_whole_on_idx_files_standard_and_not(tmp_path, monkeypatch):
    """A data set of the standard size is held against the figure, another one is not."""
    idx_files.write(tmp_path / "cache", "mnist")
    idx_files.write(tmp_path / "cache", "fashion-mnist", training=230)
    monkeypatch.setattr(images, "STANDARD", (240, 60))
    monkeypatch.setattr(pictures, "write", lambda path, made: None)  # drawn in the test above
    chosen = settings(images=tmp_path / "cache")
    with ThreadPoolExecutor(1) as pool:
        result = reproduce("time-regularisation", tmp_path / "out", pool, settings=chosen)
    claims = result["claims"]
    assert result["settings"]["images"] == chosen.images == str(tmp_path / "cache")
    places = {case.split(",")[0] for case in claims["learned-more-accurate"]["cases"]}
    assert places == {"MNIST", "Fashion-MNIST"}
    assert set(claims["mnist-resnet"]["cases"]) == {"T = 1, fixed", "T = 1, five of six learned"}
    assert all(case["count"] == 2 for case in claims["mnist-resnet"]["cases"].values())
    assert claims["mnist-learned"]["verdict"] == "does not hold", "two epochs of 240 images do not reach 0.98"
    (case,) = claims["fashion-learned"]["cases"].values()
    assert (case["value"], case["verdict"]) == (None, "not shown")
    assert "230 and 60 images" in case["note"]
    files = (tmp_path / "out" / "experiments").glob("*/result.json")
    digests = {json.loads(file.read_text())["spec"]["digest"] for file in files}
    assert digests == {one.digest for one in images.found(tmp_path / "cache")}, (
        "other images, other experiments"
    )


def test_a_paper_without_images_says_so(tmp_path, capsys):
    with pytest.raises(StudyError, match="the experiments of fractional use no images; leave the option out"):
        settings_of("fractional", "quick", tmp_path)
    assert cli.main(["reproduce", "fractional", "--images", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "use no images" in capsys.readouterr().err
    assert (
        cli.main(["reproduce", "time-regularisation", "--images", str(tmp_path), "--out", str(tmp_path)]) == 2
    )
    assert "found no train-images-idx3-ubyte" in capsys.readouterr().err


def test_budgets_say_what_a_data_set_costs(tmp_path):
    full = settings_of("time-regularisation", "full")
    assert full.budgets["digits"].seeds >= 10
    assert (full.budgets["mnist"].epochs, full.budgets["mnist"].learning_rate) == (200, 0.01)
    assert json.dumps(full.model_dump(mode="json"))
    without = settings(budgets={})
    with pytest.raises(StudyError, match="budgets has no digits"), ThreadPoolExecutor(1) as pool:
        reproduce("time-regularisation", tmp_path, pool, settings=without)
