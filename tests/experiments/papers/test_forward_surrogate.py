"""POD and the network behind it: what is lost is what was left out, and the numpy twin is the network."""

import numpy as np
import pytest
import torch

import surrogates
from experiments.errors import StudyError
from experiments.papers.dipole_chart import ball, coordinates, log_volume, moment, slope
from experiments.papers.forward_surrogate import FAMILIES, Frozen, NetworkSpec, Scaling, build
from experiments.papers.pod import Pod
from maxwell.priors import BallPrior


def snapshots(samples, width, rank, seed=0):
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((2, samples, rank)), rng.standard_normal((2, rank, width))
    decay = 2.0 ** -np.arange(rank)
    return (left[0] * decay) @ right[0] + 1j * (left[1] * decay) @ right[1]


@pytest.mark.parametrize("samples", [7, 50])
@pytest.mark.parametrize("components", [1, 4, 7])
def test_the_error_of_pod_is_the_discarded_singular_values(samples, components):
    observations = snapshots(samples, 9, 6)
    pod = Pod.fit(observations, components)
    lost = observations - pod.inverse(pod(observations))
    error = np.sqrt(np.mean(np.sum(np.abs(lost) ** 2, axis=1)))
    assert abs(error - pod.discarded) < 1e-12 * pod.singular[0]
    other = np.linalg.qr(np.random.default_rng(1).standard_normal((18, components)))[0]
    worse = Pod(other, pod.singular)
    assert np.linalg.norm(observations - worse.inverse(worse(observations))) > np.linalg.norm(lost)


def test_pod_keeps_lengths_in_its_range_and_everything_at_full_rank():
    observations = snapshots(50, 9, 3)
    pod = Pod.fit(observations, 6)
    np.testing.assert_allclose(pod.inverse(pod(observations)), observations, atol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(pod(observations), axis=1), np.linalg.norm(observations, axis=1), rtol=1e-12
    )


@pytest.mark.parametrize("components", [0, 7])
def test_pod_of_more_than_the_rank_is_refused(components):
    with pytest.raises(StudyError, match=f"components is {components}; expected 1 to 6"):
        Pod.fit(snapshots(50, 9, 3), components)


def spec(family, seed=3):
    return NetworkSpec(
        family=family,
        seed=seed,
        components=4,
        layers=3,
        width=8,
        horizon=4.0,
        order=0.5,
        epochs=1,
        batch=4,
        learning_rate=1e-3,
    )


@pytest.fixture
def balls():
    return BallPrior().sample(np.random.default_rng(0), 30)


@pytest.mark.parametrize("family", ["fractional", "resnet"])
def test_the_frozen_network_is_the_network(family, balls, tmp_path):
    """Inputs and outputs in the units of the problem, one ball at a time, after a round through a file."""
    pod = Pod.fit(snapshots(30, 9, 6), 4)
    exact = pod(snapshots(30, 9, 6)) * moment(balls)[:, None]
    scaling, net = Scaling.fit(balls, exact), build(spec(family))
    np.savez(tmp_path / "network.npz", **vars(Frozen.of(net, scaling, pod)))
    frozen = Frozen.load(tmp_path / "network.npz")
    with torch.no_grad():
        outputs = net(torch.as_tensor(scaling.inputs(balls), dtype=torch.float32)).numpy().astype(float)
    expected = scaling.coefficients(balls, outputs)
    found = np.stack([frozen(ball) for ball in balls])
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(scaling.coefficients(balls, scaling.targets(balls, exact)), exact, atol=1e-12)
    np.testing.assert_array_equal(frozen.directions, pod.directions)


def test_the_jacobian_of_the_frozen_network_passes_taylors_test(balls):
    pod = Pod.fit(snapshots(30, 9, 6), 4)
    frozen = Frozen.of(build(spec("fractional")), Scaling.fit(balls, pod(snapshots(30, 9, 6))), pod)
    theta, step = balls[0], 0.02 * (balls[1] - balls[2])
    errors = [
        np.linalg.norm(frozen(theta + h * step) - frozen(theta) - h * frozen.jacobian(theta) @ step)
        for h in (0.5, 0.25)
    ]
    assert 3 < errors[0] / errors[1] < 5  # order 2: four times


def test_a_shape_does_not_know_the_size_of_what_it_was_divided_by(balls):
    """Data proportional to the dipole moment are one and the same shape."""
    scaling = Scaling.fit(balls, np.random.default_rng(0).standard_normal((30, 4)))
    pattern = np.array([1.0, -2.0, 0.5, 3.0])
    targets = scaling.targets(balls, moment(balls)[:, None] * pattern)
    np.testing.assert_allclose(targets, np.broadcast_to(targets[0], targets.shape), atol=1e-12)


def test_families_have_equally_many_parameters_and_those_with_steps_equal_weights():
    nets = {family: build(spec(family)) for family in FAMILIES}
    assert len({sum(p.numel() for p in net.parameters()) for net in nets.values()}) == 1
    ours, other = nets["fractional"].state_dict(), nets["resnet"].state_dict()
    assert all(torch.equal(ours[name], other[name]) for name in ours)
    assert isinstance(nets["feed-forward"], surrogates.FeedForward)
    assert not torch.equal(build(spec("resnet", 4)).lift_weight, nets["resnet"].lift_weight)


def test_the_chart_goes_there_and_back_and_its_slope_is_its_derivative(balls):
    np.testing.assert_allclose(ball(coordinates(balls)), balls, rtol=1e-12)
    for theta in balls[:5]:
        steps = 1e-6 * np.eye(5)
        numeric = (coordinates(theta + steps) - coordinates(theta - steps)).T / 2e-6
        np.testing.assert_allclose(slope(theta), numeric, atol=1e-9)
        assert log_volume(theta) == pytest.approx(-np.log(np.linalg.det(slope(theta))))


def test_a_moment_that_no_contrast_has_is_no_ball():
    assert np.isnan(ball(np.array([0.5, 0.5, 0.6, 0.1, 2e-3]))[4])
    assert np.isnan(ball(np.array([0.5, 0.5, 0.6, 0.1, -6e-4]))[4])
