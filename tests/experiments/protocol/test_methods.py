"""Every yardstick obeys the laws of `Method` on real data, and each is what its name says."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import small_sets
from filelock import FileLock

from experiments.protocol.known import Known
from experiments.protocol.methods import (
    METHODS,
    Hybrid,
    boosted_trees,
    kernel_ridge,
    posterior_mean,
    unknowns,
)
from experiments.protocol.methods.features import Features, natural
from experiments.protocol.methods.kernel_ridge import Setting
from experiments.protocol.scores import Ruler
from experiments.protocol.starts import MARGIN

NOISE = 0.02
FEW = 4
"""Observations for methods that take them one by one."""

SUITED = {
    "cauchy_small": "prior-mean tsvd tikhonov mmse posterior-mean kernel-ridge boosted-trees",
    "magnetisation_small": "prior-mean tsvd tikhonov mmse posterior-mean kernel-ridge boosted-trees",
    "voxels_small": "prior-mean tsvd tikhonov mmse gauss-newton kernel-ridge boosted-trees hybrid",
    "demo": "prior-mean linearised-tikhonov gauss-newton kernel-ridge boosted-trees hybrid",
}
"""Keys of the methods that suit each problem."""

ALL = {method.key: method for method in (*METHODS, Hybrid)}
CASES = [(name, key) for name, keys in SUITED.items() for key in keys.split()]


@pytest.fixture(scope="session")
def known(tmp_path_factory, worker_id):
    """Name of a shipped recipe -> what is known of it, small; generated once for all test processes."""
    own, opened = tmp_path_factory.getbasetemp(), {}
    root = (own if worker_id == "master" else own.parent) / "yardsticks"
    root.mkdir(exist_ok=True)

    def get(name):
        if name not in opened:
            with FileLock(root / f"{name}.lock"), ThreadPoolExecutor(1) as here:
                opened[name] = Known(small_sets.generate(name, root / name, here), NOISE)
        return opened[name]

    return get


@pytest.fixture(scope="module", autouse=True)
def cheap():
    """Smaller grids, ensembles and populations: the laws hold whatever their size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_ridge, "LENGTHS", (2.0, 8.0))
        patch.setattr(kernel_ridge, "PENALTIES", (1e-4, 1e-2))
        patch.setattr(boosted_trees, "OUTPUTS", 3)
        patch.setattr(boosted_trees, "ROUNDS", 20)
        patch.setattr(posterior_mean, "EFFORT", 0.05)
        patch.setattr(unknowns, "DRAWS", 2000)
        yield


@pytest.fixture(scope="module")
def fitted(known, cheap):
    """(name, key) -> the method, fitted once a test process."""
    made = {}

    def get(name, key):
        if (name, key) not in made:
            made[name, key] = ALL[key].fit(known(name))
        return made[name, key]

    return get


def test_every_method_is_tried_somewhere():
    assert {key for _, key in CASES} == set(ALL)
    assert (
        len({method.key for method in METHODS}) == len({method.label for method in METHODS}) == len(METHODS)
    )


@pytest.mark.parametrize("name", SUITED)
def test_methods_know_which_problems_suit_them(known, name):
    suited = {key for key, method in ALL.items() if method.suits(known(name))}
    assert suited == set(SUITED[name].split())


@pytest.mark.parametrize(("name", "key"), CASES)
def test_laws(known, fitted, name, key):
    """Equal bits; an answer depends on no other; finite, of the unknown's type; better than the prior mean."""
    method, at = fitted(name, key), known(name)
    valid = at.valid.take(slice(0, FEW)) if method.one_by_one else at.valid
    observed, deviation = valid.observe(NOISE), at.deviation(NOISE)
    answers = method.estimate(observed, deviation)
    rows = slice(2, FEW)
    again, part = method.estimate(observed[rows], deviation), method.estimate(observed[rows], deviation)

    assert answers.theta.shape == valid.parameters.shape
    assert answers.theta.dtype == valid.parameters.dtype
    assert np.isfinite(answers.theta).all()
    assert answers.seconds.shape == (len(valid),)
    assert (answers.seconds > 0).all()
    assert all(values.shape == (len(valid),) for values in answers.extras.values())
    assert np.array_equal(again.theta, part.theta)
    scale = np.abs(answers.theta).max()
    assert np.abs(part.theta - answers.theta[rows]).max() < 1e-7 * scale

    ruler = Ruler.of(at)
    error = ruler.squared(answers.theta, valid.parameters).mean()
    prior = ruler.squared(at.train.parameters.mean(axis=0), valid.parameters).mean()
    assert error <= prior if key == "prior-mean" else error < 0.95 * prior


@pytest.mark.parametrize("key", ["mmse", "kernel-ridge", "boosted-trees"])
def test_a_second_fit_gives_equal_bits(known, fitted, key):
    at = known("cauchy_small")
    observed, deviation = at.valid.observe(NOISE), at.deviation(NOISE)
    first, second = (
        m.estimate(observed, deviation).theta for m in (fitted("cauchy_small", key), ALL[key].fit(at))
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", ["cauchy_small", "magnetisation_small"])
def test_posterior_mean_is_best_and_linear_mmse_best_of_the_spectral_ones(known, fitted, name):
    at, ruler = known(name), Ruler.of(known(name))
    test = at.dataset.split("test_inverse_crime")
    observed, deviation = test.observe(NOISE), at.deviation(NOISE)

    def errors(key, count=None):
        found = fitted(name, key).estimate(observed[:count], deviation)
        return ruler.squared(found.theta, test.parameters[:count])

    for key in ("tsvd", "tikhonov"):
        worse = errors(key) - errors("mmse")
        assert worse.mean() > -2 * worse.std() / np.sqrt(len(worse))
    worse = errors("mmse", 8) - errors("posterior-mean", 8)
    assert worse.mean() > -2 * worse.std() / np.sqrt(len(worse))


def test_data_as_seen_are_white(known):
    """Noise and the errors of the mesh together have unit variance, and the map sees them as F does."""
    at = known("magnetisation_small")
    seen = unknowns.seen_through(at, at.deviation(NOISE))
    errors = at.valid.observations - at.forward.batch(at.valid.parameters)
    noise = at.deviation(NOISE) * np.random.default_rng(0).standard_normal((4000, errors.shape[1]))
    rows = seen.data(noise + errors[np.arange(4000) % len(errors)])
    values = np.linalg.eigvalsh(rows.T @ rows / len(rows))
    assert 0.6 < values[0] <= values[-1] < 1.5
    theta = at.valid.parameters[0]
    assert np.allclose(seen.map(theta), seen.data(at.forward(theta)[None])[0], atol=1e-9)


def test_mesh_error_counts_as_noise_in_a_nonlinear_map_too(known):
    """The Jacobian of what is seen is that of the map, seen."""
    at = known("demo")
    seen = unknowns.seen_through(at, at.deviation(NOISE))
    theta = at.valid.parameters[0]
    value, jacobian = seen.map.linearise(theta)
    step = 1e-4 * at.train.parameters.std(axis=0)
    change = (seen.map(theta + step) - seen.map(theta - step)) / 2
    assert np.allclose(value, seen.map(theta), atol=1e-6 * np.abs(value).max())
    assert np.abs(change - jacobian @ step).max() < 1e-3 * np.abs(change).max()


def known_of(observed, answers):
    """A start that knows the answers to these observations and to no other."""
    return lambda rows: np.array([answers[np.flatnonzero((observed == row).all(axis=1))[0]] for row in rows])


@pytest.mark.parametrize("name", ["voxels_small", "demo"])
def test_gauss_newton_from_the_truth_needs_fewer_linearisations(known, fitted, name):
    at = known(name)
    test = at.dataset.split("test_inverse_crime").take(slice(0, FEW))
    observed, deviation = test.observe(NOISE), at.deviation(NOISE)
    cold = fitted(name, "gauss-newton").estimate(observed, deviation)
    warm = Hybrid(at, known_of(observed, test.parameters)).estimate(observed, deviation)
    assert warm.extras["iterations"].mean() < cold.extras["iterations"].mean()
    assert (warm.extras["starts"] == 1).all()


def test_two_descents_into_one_minimum_end_at_one_error(known, fitted):
    """So that a start is judged by where it leads and not by where its descent happens to stop."""
    at = known("demo")
    valid, deviation = at.valid.take(slice(0, 2 * FEW)), at.deviation(NOISE)
    observed, truth = valid.observe(NOISE), valid.parameters
    starts = fitted("demo", "kernel-ridge").estimate(observed, deviation)
    cold = fitted("demo", "gauss-newton").estimate(observed, deviation)
    warm = Hybrid(at, known_of(observed, starts.theta)).estimate(observed, deviation)
    one = np.isclose(cold.extras["own_misfit"], warm.extras["own_misfit"], rtol=1e-4)
    assert one.sum() > FEW

    def apart(where):
        """|log| of the ratio of errors, sample by sample."""
        squares = [Ruler.of(at).squared(getattr(answers, where), truth)[one] for answers in (cold, warm)]
        return abs(np.log(np.divide(*squares))) / 2

    settled = apart("settled")
    assert (settled <= MARGIN).mean() > 0.8  # an error that is tiny by chance moves by more
    assert settled.max() < apart("theta").max()


def test_the_map_of_gauss_newton_is_prepared_where_that_pays_for_a_study(known, fitted):
    for name in ("voxels_small", "demo"):
        forward = unknowns.prepared(known(name))
        assert forward.prepared
        assert forward.pays_to_prepare(unknowns.SOLVES)
        theta = known(name).train.parameters[0]
        np.testing.assert_allclose(forward(theta), known(name).train.observations[0], rtol=1e-7)


def test_hybrid_ends_no_higher_than_it_starts(known, fitted):
    """The objective is that of the posterior, and starts beyond the bounds are moved into them."""
    at = known("voxels_small")
    ridge, deviation = fitted("voxels_small", "kernel-ridge"), at.deviation(NOISE)
    observed = at.valid.take(slice(0, FEW)).observe(NOISE)
    starts = ridge.estimate(observed, deviation).theta
    starts[0] += 100.0
    ends = Hybrid(at, known_of(observed, starts)).estimate(observed, deviation).theta

    seen, prior = unknowns.seen_through(at, deviation), unknowns.gaussian(at)
    rows, precision = seen.data(observed), np.linalg.inv(prior.covariance)

    def objective(row, theta):
        offset, residual = theta - prior.mean, rows[row] - seen.map(theta)
        return residual @ residual + offset @ precision @ offset

    for row, (start, end) in enumerate(zip(np.clip(starts, prior.low, prior.high), ends, strict=True)):
        assert objective(row, end) <= objective(row, start) * (1 + 1e-9)


def test_gauss_newton_counts_its_starts(known, fitted):
    """Data of no ball: every start ends above the noise, so all five are tried."""
    at = known("demo")
    noise = np.random.default_rng(0).standard_normal((1, at.valid.observations.shape[1])) * (1 + 1j)
    found = fitted("demo", "gauss-newton").estimate(50 * at.deviation(NOISE) * noise, at.deviation(NOISE))
    assert found.extras["starts"].tolist() == [5]
    assert found.extras["own_misfit"][0] > 2


def test_kernel_ridge_is_its_closed_form(known):
    at = known("cauchy_small")
    observed, theta = at.train.observe(NOISE)[:30], at.train.parameters[:30].real
    features = next(f for f in Features.choices(at) if f.shape is natural and f.components == 8)
    setting = Setting(features, 1.5, 1e-3)
    x, y = features(observed), features(at.valid.observe(NOISE))
    width = 2 * 1.5**2 * np.mean(np.sum(x**2, axis=1))
    kernel, along = (np.exp(-(np.linalg.norm(a[:, None] - x, axis=-1) ** 2) / width) for a in (x, y))
    expected = along @ np.linalg.solve(kernel + 1e-3 * np.eye(30), theta)
    assert np.allclose(setting.fit(observed, theta).predict(y), expected, atol=1e-8)


def test_learned_baselines_ignore_test_noise_and_state_their_budget(known, fitted):
    at = known("cauchy_small")
    observed = at.valid.observe(NOISE)
    for key in ("kernel-ridge", "boosted-trees"):
        method = fitted("cauchy_small", key)
        assert method.kind == "learned"
        assert method.budget > 1
        same = [method.estimate(observed, factor * at.deviation(NOISE)).theta for factor in (1.0, 3.0)]
        assert np.array_equal(*same)


def test_classical_methods_use_the_noise_they_are_told(known, fitted):
    """Where there is more of it, TSVD keeps fewer components and linear MMSE is better for knowing."""
    at = known("cauchy_small")
    observed, ruler = at.valid.observe(0.1), Ruler.of(at)

    def told(key, level):
        return fitted("cauchy_small", key).estimate(observed, at.deviation(level))

    kept, kept_for_less = (told("tsvd", level).extras["penalty"].mean() for level in (0.1, NOISE))
    assert kept < kept_for_less
    right, wrong = (ruler.squared(told("mmse", n).theta, at.valid.parameters).mean() for n in (0.1, NOISE))
    assert right < wrong
