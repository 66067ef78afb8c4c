"""From chains to claims, and the whole reproduction on a mesh of four cells."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from experiments import papers
from experiments.papers import bayesian, claims, mcmc
from experiments.papers.reproduction import reproduce, settings_of

WAYS = (mcmc.EXACT, mcmc.SURROGATE, mcmc.DELAYED, mcmc.ANCHORED, mcmc.LINEARISED)


def settings(**changes):
    return settings_of("bayesian", "quick").model_copy(update=changes)


def results(rng, bias=0.0, balls=6, effective=200.0):
    """Chains of balls with a unit Gaussian posterior, means as so many effective samples give; the true map takes
    ten times as long as the others, and `bias` moves the mean of what stands before it."""

    def chain(way):
        shift = bias if way == mcmc.ANCHORED else 0.0
        seconds = 10.0 if way == mcmc.EXACT else 1.0
        return {
            "effective": [effective, 2 * effective, effective, effective, effective],
            "seconds": seconds,
            "solves": 10 * seconds,
            "acceptance": 0.5,
            "mean": (
                shift + rng.standard_normal(5) / np.sqrt(effective * np.array([1, 2, 1, 1, 1]))
            ).tolist(),
            "variance": [1.0] * 5,
        }

    return [{way: {"chains": [chain(way), chain(way)], "scale": 1.0} for way in WAYS} for _ in range(balls)]


def measured(found, **changes):
    network = {"seconds": 50.0}
    return {
        name: cases["5 % noise"]
        for name, cases in bayesian.posterior_claims(
            settings(samples=900, held_out=100, **changes), network, {"5 % noise": found}
        ).items()
    }


def test_ratios_are_those_of_speeds():
    found = measured(results(np.random.default_rng(0)))
    for name in ("surrogate-alone-is-faster", "delayed-acceptance-saves", "anchored-surrogate-saves"):
        assert found[name].value == pytest.approx(10)
    assert found["anchored-surrogate-saves-solves"].value == pytest.approx(10)
    assert found["better-than-linearised"].value == pytest.approx(1)


def test_the_unit_is_the_ball_and_what_did_not_mix_is_told():
    """Chains of one ball share what the network gets wrong there."""
    chains = results(np.random.default_rng(0))
    chains[0][mcmc.DELAYED]["scale"] = 1e6
    for chain in chains[0][mcmc.DELAYED]["chains"]:
        chain.update(acceptance=0.0, effective=[1.0] * 5)
    found = measured(chains)["delayed-acceptance-saves"]
    assert found.count == 6
    assert found.value == pytest.approx((10**5 * 10 * 2 / 400) ** (1 / 6))
    assert "on 5 and 6 of 6 balls, no step accepted on 1 and 0" in found.note


def test_the_price_of_data_and_training_is_counted():
    """1000 solves of 0.1 s and 50 s of training; a sample costs 50 ms with the true map and 5 ms behind the net."""
    found = measured(results(np.random.default_rng(0)))["training-is-earned"]
    assert found.value == pytest.approx(10_000 * 0.045 / 150)
    assert "even at 3333 effective samples" in found.note


def test_agreement_is_one_for_one_posterior_and_large_for_another():
    rng = np.random.default_rng(1)
    right = measured(results(rng, balls=60))["delayed-acceptance-is-exact"]
    assert 0.8 < right.value < 1.2
    assert measured(results(rng, bias=0.5))["delayed-acceptance-is-exact"].low > 2


def test_chains_that_do_not_mix_are_left_out_of_the_agreement_and_counted():
    found = results(np.random.default_rng(0), balls=2)
    found[0][mcmc.DELAYED]["scale"] = 2.0
    assert "5 of 6" in measured(found)["delayed-acceptance-is-exact"].note
    for each in found:
        each[mcmc.EXACT]["scale"] = 2.0
    none = measured(found)["delayed-acceptance-is-exact"]
    assert (none.value, none.count) == (None, 0)


@pytest.mark.parametrize("size", ["quick", "full"])
def test_the_recipe_has_one_mesh_and_says_so(size):
    chosen = settings_of("bayesian", size)
    recipe = bayesian.recipe_of(chosen)
    assert {json.dumps(split.mesh, sort_keys=True) for split in recipe.splits.values()} == {
        json.dumps(recipe.splits["train"].mesh, sort_keys=True)
    }
    assert recipe.splits["test"].inverse_crime
    assert not recipe.undeclared_inverse_crimes()
    assert recipe.splits["train"].samples == chosen.samples
    assert chosen.truths <= chosen.held_out


@pytest.mark.slow
def test_the_whole_on_four_cells(tmp_path):
    """Real data, real training and real chains, of no meaning; asked again, nothing is computed twice."""
    tiny = settings(
        cells=4,
        degree=1,
        samples=36,
        held_out=4,
        components=8,
        epochs=3,
        seeds=2,
        noises=(0.2,),
        truths=1,
        steps=30,
        delayed_steps=20,
        inner=3,
        surrogate_steps=30,
    )
    with ThreadPoolExecutor(1) as pool:
        result = reproduce("bayesian", tmp_path / "out", pool, "quick", tiny)
        assert result["claims"].keys() == claims.load(papers.claims_file("bayesian")).claims.keys()
        assert "bayesian.png" in result["pictures"]
        assert not (tmp_path / "out" / mcmc.BLOCKS).exists()
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("result.json")}
        assert len(before) == 3 * tiny.seeds + 1
        again = reproduce("bayesian", tmp_path / "out", pool, "quick", tiny)
    assert again["claims"] == result["claims"]
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("result.json")}
