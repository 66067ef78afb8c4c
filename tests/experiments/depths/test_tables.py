"""Tables and verdicts of the study of depth from made-up results, whose answers are known."""

import numpy as np
import pytest
from scipy import stats

from experiments.depths import measure, spec, tables, verdicts


def member(study, seed, loss=0.3, ratio=0.0, change=0.01, steps=(0.1, 0.3, 1.0)):
    seen = {"state_ratio": ratio, "weight_ratio": ratio, "states": [ratio, 0.0], "weights": [ratio, 0.0]}
    known = {"lower": -3.0, "smallest": -2.0, "largest": 1.0, "upper": 2.0, "exponential": 2.1, "direct": 0.0}
    return {
        "seed": seed,
        "loss": loss,
        "gradients": [seen] * len(study.extent.snapshots),
        "spectra": [known, known] if seed == 0 else [None, None],
        "sensitivity": {"first": 1.0, "0.01": change, "0.1": 0.1},
        "steps": list(steps),
    }


def results(study, **of_rule):
    """Cells whose members have what `of_rule` gives for their rule: a function of (seed, cell)."""
    found = []
    for cell in study.cells:
        given = of_rule.get(cell.rule, lambda seed, cell: {})
        members = [member(study, seed, **given(seed, cell)) for seed in range(study.extent.seeds)]
        names = ("family", "rule", "depth", "scale")
        found.append(dict(zip(names, cell.label, strict=True)) | {"members": members})
    return found


@pytest.fixture
def study(tmp_path, study_text):
    file = tmp_path / "many.toml"
    file.write_text(study_text.replace("seeds = 2", "seeds = 12"))
    return spec.load(file, quick=True)


def one(rows, **wanted):
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (10, 10), (8, 10), (1, 3)])
def test_wilsons_interval_is_that_of_the_score_test(successes, count):
    low, high = tables.wilson(successes, count)
    known = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-6)


def test_intervals_of_means_cover_and_follow_from_their_name():
    rng, covered = np.random.default_rng(0), 0
    for k in range(200):
        mean, low, high = tables.mean_interval(rng.normal(2.0, 1.0, 20), f"study {k}")
        assert low <= mean <= high
        covered += low <= 2.0 <= high
    assert 170 <= covered <= 198
    values = [1.0, 4.0, 2.0]
    assert tables.mean_interval(values, "a") == tables.mean_interval(values, "a")


def test_tables_have_a_row_for_each_figure_of_each_cell(study):
    made = tables.tables(study, results(study))
    cells = len(study.cells)
    assert len(made["trainability"]) == 2 * cells
    plain = sum(cell.family == "plain" for cell in study.cells)
    assert len(made["sensitivity"]) == 3 * (cells - plain)
    learned = [cell for cell in study.cells if cell.run.time != "fixed"]
    assert len(made["steps"]) == 3 * len(learned)
    assert len(made["gradients"]) == cells * (2 * 3 + 2 * 6)
    for rows in made.values():
        lines = tables.text(rows).splitlines()
        assert lines[0] == ",".join(tables.COLUMNS)
        assert len(lines) == len(rows) + 1
        assert len(set(lines)) == len(lines)


def test_what_counts_as_trained(study):
    """Of twelve seeds four leave the numbers, four stay at the prior mean, four train."""

    def given(seed, cell):
        return {"loss": (None, 1.0, 0.4999)[seed % 3]}

    made = tables.tables(study, results(study, fixed=given))
    where = {"family": "resnet", "rule": "fixed", "depth": 2, "scale": 1.0}
    share = one(made["trainability"], **where, quantity="trained")
    assert (share["seeds"], share["mean"]) == (12, pytest.approx(1 / 3))
    assert (share["low"], share["high"]) == tables.wilson(4, 12)
    loss = one(made["trainability"], **where, quantity="relative_loss")
    assert loss["mean"] == pytest.approx((tables.WORST + 1 + 0.4999) / 3)
    assert one(made["sensitivity"], **where, quantity="0.01")["seeds"] == 4


def test_where_nobody_trains_the_row_is_empty(study):
    made = tables.tables(study, results(study, fixed=lambda seed, cell: {"loss": 2.0}))
    row = one(made["sensitivity"], family="resnet", rule="fixed", depth=5, scale=1.0, quantity="0.1")
    assert row["seeds"] == 0
    assert "mean" not in row
    assert tables.text([row]).splitlines()[1].endswith("0.1,0,,,")


def compared(study, metric, **of_rule):
    found = verdicts.comparisons(study, results(study, **of_rule))
    return one(found, family="resnet", fixed="fixed", learned="free", metric=metric)


def noisy(name, shift):
    def given(seed, cell):
        rng = np.random.default_rng([seed, cell.depth, int(cell.scale)])
        common, own = rng.normal(0, 1), np.random.default_rng([seed, cell.depth, 9]).normal(0, 0.05)
        value = {"loss": 0.1 * 10 ** (0.2 * common), "ratio": 3 + common, "change": 0.01 * 10**common}[name]
        factor = {"loss": 10**shift, "change": 10**shift}.get(name)
        return {name: value + shift + own if factor is None else value * factor * 10**own}

    return given


@pytest.mark.parametrize(
    ("metric", "name"), [("loss", "loss"), ("imbalance", "ratio"), ("sensitivity", "change")]
)
@pytest.mark.parametrize(
    ("shift", "verdict"), [(-0.3, "better"), (0.3, "worse"), (0.0, "no difference shown")]
)
def test_paired_verdicts_see_a_shift_that_the_spread_of_seeds_would_hide(study, metric, name, shift, verdict):
    found = compared(study, metric, fixed=noisy(name, 0.0), free=noisy(name, shift))
    if shift == 0.0:  # both have the same figures
        assert found["mean"] == 0
    else:
        assert found["mean"] == pytest.approx(shift, abs=0.02)
        assert found["low"] <= found["mean"] <= found["high"]
    assert found["verdict"] == verdict


def test_more_seeds_that_train_are_better(study):
    better = compared(study, "trained", fixed=lambda seed, cell: {"loss": 2.0 if seed % 4 else 0.1})
    assert (better["mean"], better["verdict"]) == (0.75, "better")
    worse = compared(study, "trained", free=lambda seed, cell: {"loss": None})
    assert (worse["mean"], worse["verdict"]) == (-1.0, "worse")


@pytest.mark.parametrize(
    ("seeds", "verdict"), [(1, "no difference shown"), (4, "no difference shown"), (8, "worse")]
)
def test_few_seeds_show_no_difference_however_large(tmp_path, study_text, seeds, verdict):
    file = tmp_path / "few.toml"
    file.write_text(study_text.replace("seeds = 2", f"seeds = {seeds}"))
    found = compared(spec.load(file, quick=True), "trained", free=lambda seed, cell: {"loss": None})
    assert (found["mean"], found["verdict"]) == (-1.0, verdict)
    assert found["p"] == 2.0 ** (1 - seeds)


def test_missing_pairs_are_told(study):
    found = verdicts.comparisons(study, results(study, free=lambda seed, cell: {"loss": None}))
    missing = one(found, family="resnet", fixed="fixed", learned="free", metric="sensitivity")
    assert (missing["pairs"], missing["mean"], missing["verdict"]) == (0, None, "no difference shown")
    said = verdicts.sentences(study, found)
    assert len(said) == len(found)
    assert sum("no pair" in sentence for sentence in said) == 2


def test_sign_flips_are_those_of_the_permutation_test_of_scipy():
    rng = np.random.default_rng(1)
    for count in (3, 7, 10, 18):
        gaps = rng.normal(0.4, 1.0, count)
        known = stats.permutation_test(
            (gaps,), np.sum, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(2)
        )
        assert verdicts.sign_flips(gaps) == pytest.approx(known.pvalue, abs=0.015 if count > 14 else 1e-9)
    assert verdicts.sign_flips(np.zeros(4)) == 1


def test_discoveries_are_those_of_scipy_and_chance_alone_makes_few():
    rng = np.random.default_rng(3)
    for _ in range(50):
        ps = rng.uniform(size=40) ** rng.uniform(1, 4)
        assert verdicts.discoveries(list(ps)) == (stats.false_discovery_control(ps) <= 0.05).tolist()
    chance = [any(verdicts.discoveries(list(rng.uniform(size=30)))) for _ in range(400)]
    assert 0.01 < np.mean(chance) < 0.09


def test_reach_names_the_depths_at_which_half_of_the_seeds_train(study):
    def given(seed, cell):
        return {"loss": 0.1 if cell.depth == 2 and (cell.scale == 1 or seed < 5) else 1.0}

    sentence = next(
        s for s in verdicts.reach(study, results(study, fixed=given)) if "ResNet, fixed, T = 1" in s
    )
    assert "2 with initial weights times 1;" in sentence
    assert "none with initial weights times 30" in sentence
    assert any("plain" in s and "all depths" in s for s in verdicts.reach(study, results(study)))


def test_values_outside_their_bounds_are_counted(study):
    assert verdicts.bounds_hold(results(study)) == {"checked": 6 * len(study.cells), "outside": 0}
    beyond = results(study)
    for spectra, upper in zip(
        (c["members"][0]["spectra"][0] for c in beyond), (None, -measure.LIMIT), strict=False
    ):
        spectra["upper"] = upper  # of both ends, which share it; one is no number, one is beyond them
    assert verdicts.bounds_hold(beyond) == {"checked": 6 * len(study.cells) - 12, "outside": 0}
    outside = results(study, fixed=lambda seed, cell: {"ratio": 2.5})
    fixed = sum(cell.rule == "fixed" for cell in study.cells)
    assert verdicts.bounds_hold(outside)["outside"] == 2 * fixed
