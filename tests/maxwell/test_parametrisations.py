"""The contracts of parametrisations and priors: one class of laws each, inherited by every member.

A new member adds one subclass with its data and inherits the laws.
"""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maxwell
from maxwell.problems import conductivity

# The laws are run once a subclass, which is what this check of Hypothesis warns of.
inherited = settings(max_examples=25, suppress_health_check=[HealthCheck.differing_executors])
seeds = st.integers(0, 2**32 - 1)


class ParametrisationContract:
    """Laws of `Parametrisation`.

    member : the parametrisation.  draw(rng) : an admissible θ.  muted(θ) : a θ near it for which m = 0.
    scale : size of a small change of θ.
    """

    member: maxwell.Parametrisation
    scale: float | np.ndarray = 0.1

    def draw(self, rng) -> np.ndarray:
        raise AssertionError("give an admissible unknown")

    def muted(self, theta) -> np.ndarray:
        return 0 * theta

    def points(self, rng, count=400) -> np.ndarray:
        return rng.uniform(0, 1, (count, 3))

    def drawn(self, seed):
        rng = np.random.default_rng(seed)
        return rng, self.draw(rng), self.points(rng)

    def test_shapes(self):
        _, theta, x = self.drawn(0)
        p = len(self.member.parameters)
        assert theta.shape == (p,)
        assert len({parameter.name for parameter in self.member.parameters}) == p
        grid = x.reshape(20, -1, 3)
        value, derivative = self.member.linearise(theta, grid)
        assert value.shape == self.member.evaluate(theta, grid).shape == grid.shape[:2]
        assert derivative.shape == (p, *value.shape)
        assert value.ravel().tobytes() == self.member.evaluate(theta, x).tobytes()
        assert [len(axis) == len(set(axis)) for axis in self.member.planes] == [True] * 3
        assert self.member.region.shape == (2, 3)
        assert self.member.branch(np.stack([theta, theta])).shape == (2,)

    @inherited
    @given(seeds)
    def test_value_is_the_same_with_and_without_the_derivative(self, seed):
        _, theta, x = self.drawn(seed)
        value = self.member.evaluate(theta, x)
        assert np.abs(value).max() > 0
        assert value.tobytes() == self.member.linearise(theta, x)[0].tobytes()

    @inherited
    @given(seeds)
    def test_taylor_remainder_is_of_second_order(self, seed):
        rng, theta, x = self.drawn(seed)
        direction = self.scale * rng.uniform(-1, 1, len(theta))
        value, derivative = self.member.linearise(theta, x)
        slope = np.tensordot(direction, derivative, axes=1)
        steps = np.array([0.04, 0.02, 0.01])
        remainders = np.array(
            [
                np.linalg.norm(self.member.evaluate(theta + h * direction, x) - value - h * slope)
                for h in steps
            ]
        )
        if remainders[0] > 1e-12 * np.linalg.norm(value):  # otherwise m is linear in θ
            # A third derivative that jumps at the edge keeps the ratios from being 4 exactly.
            assert (remainders[:-1] / remainders[1:] > 3.2).all()

    @inherited
    @given(seeds)
    def test_sparse_and_dense_derivative_agree(self, seed):
        _, theta, x = self.drawn(seed)
        dense = self.member.linearise(theta, x)[1]
        grid = x.reshape(20, -1, 3)
        for slopes in (
            self.member.slopes(theta, grid),
            maxwell.Parametrisation.slopes(self.member, theta, grid),
        ):
            sparse = np.zeros((len(dense), dense[0].size))
            for row, (where, values) in zip(sparse, slopes, strict=True):
                assert where.shape == values.shape
                assert len(np.unique(where)) == len(where)
                row[where] = values
            assert np.abs(sparse - dense.reshape(len(dense), -1)).max() == 0

    @inherited
    @given(seeds)
    def test_nothing_happens_outside_the_support(self, seed):
        _, theta, x = self.drawn(seed)
        value, derivative = self.member.linearise(theta, x)
        low, high = self.member.support(theta)
        assert low.shape == high.shape
        assert low.shape[1:] == (3,)
        inside = ((x[:, None] >= low) & (x[:, None] <= high)).all(axis=2).any(axis=1)
        assert not value[~inside].any()
        assert not derivative[:, ~inside].any()

    @inherited
    @given(seeds)
    def test_every_point_with_a_value_or_a_derivative_is_reached(self, seed):
        _, theta, x = self.drawn(seed)
        muted = self.muted(theta)
        assert not self.member.evaluate(muted, x).any()
        assert self.member.linearise(muted, x)[1].any()
        for unknown in (theta, muted):
            value, derivative = self.member.linearise(unknown, x)
            exact = (value != 0) | (derivative != 0).any(axis=0)
            grid = x.reshape(20, -1, 3)
            assert np.array_equal(maxwell.Parametrisation.reaches(self.member, unknown, grid).ravel(), exact)
            assert np.array_equal(self.member.reaches(unknown, grid).ravel(), exact)

    def test_wrong_unknowns_are_refused_in_a_sentence(self):
        _, theta, x = self.drawn(1)
        wrong = {
            "expected \\(": theta[:-1],
            "expected finite": np.where(np.arange(len(theta)) == 2, np.nan, theta),
            "expected real": theta + 0j,
            "dtype": np.array(["a"] * len(theta)),
        }
        for expected, given_ in wrong.items():
            for ask in (
                self.member.evaluate,
                self.member.linearise,
                lambda t, x: list(self.member.slopes(t, x)),
            ):
                with pytest.raises(maxwell.MaxwellError, match=expected) as caught:
                    ask(given_, x)
                assert "\n" not in str(caught.value)

    def test_survives_the_way_through_a_table(self):
        problem = self.problem()
        again = maxwell.problem_from(json.loads(json.dumps(problem.spec())))
        assert again == problem
        assert again.parametrisation == self.member

    def problem(self):
        """A problem that has this parametrisation."""
        return maxwell.Conductivity(parametrisation=self.member)


class BallContract(ParametrisationContract):
    def draw(self, rng):
        low, high = [0.2, 0.2, 0.2, 0.06, 0.3], [0.8, 0.8, 0.8, 0.2, 2.0]
        balls = rng.uniform(low, high, (self.member.count, 5))
        balls[:, 4] *= rng.choice([-1, 1], self.member.count)
        return balls.ravel()

    def muted(self, theta):
        return np.where(np.arange(len(theta)) % 5 == 4, 0.0, theta)

    @property
    def scale(self):
        return np.tile([0.05, 0.05, 0.05, 0.03, 0.5], self.member.count)


class TestOneBall(BallContract):
    member = maxwell.Balls(1)


class TestTwoBalls(BallContract):
    member = maxwell.Balls(2, width=0.15)


class TestVoxels(ParametrisationContract):
    member = maxwell.Voxels(4, 3, 2)

    def draw(self, rng):
        return rng.standard_normal(24)


class PriorContract:
    """Laws of `Prior`.

    member : the prior.  parametrisation : what it draws.  others : what it refuses.  dtype : of its draws.
    """

    member: maxwell.Prior
    parametrisation: object
    others: tuple = ()
    dtype: type = np.float64

    def sample(self, seed, size):
        return self.member.sample(np.random.default_rng(seed), size)

    def test_shape_and_dtype(self):
        p = len(self.parametrisation.parameters)
        for size in (0, 1, 5):
            thetas = self.sample(0, size)
            assert (thetas.shape, thetas.dtype) == ((size, p), self.dtype)
            assert np.isfinite(thetas).all()

    def test_equal_generators_give_equal_bits_and_different_seeds_different_ones(self):
        assert self.sample(7, 4).tobytes() == self.sample(7, 4).tobytes()
        assert not np.array_equal(self.sample(7, 4), self.sample(8, 4))
        assert len(np.unique(self.sample(7, 4), axis=0)) == 4

    def test_draws_in_one_call_are_those_of_many(self):
        rng = np.random.default_rng(3)
        many = np.concatenate([self.member.sample(rng, 1) for _ in range(5)])
        assert many.tobytes() == self.sample(3, 5).tobytes()

    def test_draws_are_unknowns_of_the_parametrisation(self):
        self.member.check_fits(self.parametrisation)
        for theta in self.sample(5, 50):
            assert np.array_equal(self.parametrisation.check(theta), theta)
            low, high = self.parametrisation.support(theta)
            assert (low >= self.parametrisation.region[0] - 1e-12).all()
            assert (high <= self.parametrisation.region[1] + 1e-12).all()

    def test_another_parametrisation_is_refused_in_a_sentence(self):
        for other in self.others:
            with pytest.raises(maxwell.MaxwellError, match="parametrisation") as caught:
                self.member.check_fits(other)
            assert "\n" not in str(caught.value)

    def test_survives_the_way_through_a_table(self):
        problem = self.problem()
        again = maxwell.problem_from(json.loads(json.dumps(problem.spec())))
        assert again == problem
        assert again.prior == self.member
        assert again.prior.sample(np.random.default_rng(0), 2).tobytes() == self.sample(0, 2).tobytes()

    def problem(self):
        """A problem that has this prior."""
        return maxwell.Conductivity(parametrisation=self.parametrisation, prior=self.member)


class TestOneBallPrior(PriorContract):
    member = maxwell.BallPrior()
    parametrisation = maxwell.Balls(1)
    others = (maxwell.Balls(2), maxwell.Voxels())


class TestTwoBallPrior(PriorContract):
    member = maxwell.BallPrior(count=2)
    parametrisation = maxwell.Balls(2)
    others = (maxwell.Balls(1), maxwell.Voxels())


class TestBlockyPrior(PriorContract):
    member = maxwell.BlockyPrior(voxels=maxwell.Voxels(4, 3, 2))
    parametrisation = maxwell.Voxels(4, 3, 2)
    others = (maxwell.Balls(1), maxwell.Voxels(4, 4, 2), maxwell.Voxels(4, 3, 2, low=(0.1, 0.1, 0.4)))


class TestGaussianField(PriorContract):
    member = maxwell.GaussianField(voxels=maxwell.Voxels(4, 3, 2), smoothness=2.5, level=-0.3)
    parametrisation = maxwell.Voxels(4, 3, 2)
    others = (maxwell.Balls(1), maxwell.Voxels(3, 4, 2))


@pytest.mark.parametrize(
    ("union", "contract"),
    [
        (conductivity.LogContrast, ParametrisationContract),
        (conductivity.LogContrastPrior, PriorContract),
    ],
)
def test_every_member_that_a_table_can_name_is_under_contract(union, contract):
    members = {argument.__origin__ for argument in union.__origin__.__args__}
    tested = {type(case.member) for case in _leaves(contract) if hasattr(case, "member")}
    assert members <= tested


def _leaves(contract):
    for case in contract.__subclasses__():
        yield case
        yield from _leaves(case)
