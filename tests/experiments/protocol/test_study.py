import copy
import dataclasses
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_study

import data
from data.linear_estimate import LinearEstimate
from experiments.errors import StudyError
from experiments.protocol import grading, plan, study, tables
from experiments.protocol.folder import Folder
from experiments.protocol.known import Known
from experiments.protocol.perturbations import worst
from experiments.protocol.plan import run_name
from experiments.protocol.scores import Directions, Ruler
from experiments.protocol.sheets import Place, Sheet, exam
from experiments.runs import load

TIMED = {"training_seconds", "seconds_one", "time_ratio"}
"""Columns that no second run repeats."""


def rows(folder, name):
    """A table without what is measured by the clock."""
    found = tables.read(folder.tables)[name]
    return [{key: value for key, value in row.items() if key not in TIMED} for row in found]


@pytest.fixture(scope="module")
def opened(tiny):
    return data.open(tiny[1].data("cauchy"))


@pytest.fixture(scope="module")
def asked(tiny):
    made, folder = tiny
    return exam(folder.data("cauchy"), 0.02, made.spec.levels, 3)


def test_the_prior_mean_has_error_one_on_every_split(tiny):
    found = [row for row in rows(tiny[1], "errors") if row["method"] == "prior-mean"]
    assert {row["split"] for row in found} == {"test", "test_inverse_crime"}
    for row in found:
        assert float(row["error"]) == pytest.approx(1, abs=1e-6)


def test_every_figure_of_a_table_follows_from_the_estimates(tiny, opened):
    """The slow way round: load each network, estimate, and take the error by hand."""
    made, folder = tiny
    test, variant = opened.split("test"), made.variants[0]
    mean = opened.split("train").parameters.mean(axis=0)
    errors = []
    for seed in range(variant.seeds):
        run = load(folder.runs / run_name(variant, seed))
        errors.append(np.abs(run.estimate(test.observe(0.02)) - test.parameters) ** 2)
    by_hand = np.sqrt(np.mean(errors) / np.mean(np.abs(mean - test.parameters) ** 2))
    (row,) = [
        row
        for row in rows(folder, "errors")
        if (row["family"], row["method"], row["split"], row["level"])
        == ("resnet", variant.arm, "test", "0.02")
    ]
    assert float(row["error"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(row["low"]) < by_hand < float(row["high"])


def test_losses_follow_from_the_estimates_of_training_and_validation(tiny, opened):
    """The slow way round: standardised squares of what each network answers.

    In training the weights move; at its end, where the rate has gone to zero, they hardly do.
    """
    made, folder = tiny
    assert len(rows(folder, "losses")) == len(made.variants)
    for variant, row in zip(made.variants, rows(folder, "losses"), strict=True):
        by_hand = {"training": [], "validation": []}
        for seed in range(variant.seeds):
            run = load(folder.runs / run_name(variant, seed))
            for name, part, draw in (
                (
                    "training",
                    opened.split("train"),
                    (run.record["best_epoch"] - 1) % run.record["spec"]["draws"],
                ),
                ("validation", opened.split("valid"), 0),
            ):
                answers = (run.estimate(part.observe(0.02, draw)), part.parameters)
                found, true = map(run.standardise, answers)
                by_hand[name].append(np.mean((found - true) ** 2))
        assert float(row["validation"]) == pytest.approx(np.mean(by_hand["validation"]), rel=1e-4)
        assert float(row["training"]) == pytest.approx(np.mean(by_hand["training"]), rel=0.2)
        assert row["linear"] == ""


def test_the_committee_is_the_mean_of_the_networks_of_least_validation_loss(tiny, opened):
    """The slow way round, from the records of all runs."""
    made, folder = tiny
    runs = [load(folder.runs / run_name(v, seed)) for v in made.variants for seed in range(v.seeds)]
    assert len(runs) > made.spec.committee == 5
    runs.sort(key=lambda run: run.record["best_loss"] * run.record["loss_unit"])
    test = opened.split("test")
    for level in (0.02, 0.1):
        mean = sum(run.estimate(test.observe(level)) for run in runs[:5]) / 5
        off = np.abs(mean - test.parameters) ** 2
        of_mean = np.abs(opened.split("train").parameters.mean(axis=0) - test.parameters) ** 2
        (row,) = [
            row
            for row in rows(folder, "errors")
            if (row["method"], row["split"], row["level"]) == ("committee", "test", str(level))
        ]
        assert (row["kind"], row["label"]) == ("committee", "mean of 5 networks")
        assert float(row["error"]) == pytest.approx(np.sqrt(off.mean() / of_mean.mean()), rel=1e-5)
    against = [row for row in rows(folder, "against") if row["network"].endswith("committee-noise0.02")]
    assert [row["yardstick"] for row in against] == ["prior-mean", "mmse"]


def test_no_linear_method_is_better_than_the_linear_mmse(tiny):
    best = {}
    for row in rows(tiny[1], "errors"):
        if row["split"] == "test" and row["kind"] == "classical":
            best[row["method"], row["level"]] = float(row["error"])
    assert best["mmse", "0.02"] < best["prior-mean", "0.02"]
    assert best["mmse", "0.02"] < best["mmse", "0.1"]


def test_a_method_that_does_not_suit_is_left_out(tiny):
    _, folder = tiny
    assert Sheet.read(folder.yardstick("gauss-newton", "cauchy", 0.02)).about["suits"] is False
    assert not [row for row in rows(folder, "errors") if row["method"] == "gauss-newton"]


def test_comparisons_pair_equal_seeds_in_every_cell(tiny):
    found = rows(tiny[1], "comparisons")
    assert [(row["family"], row["baseline"], row["other"]) for row in found] == [
        ("resnet", "fixed-unit", "positive"),
        ("fractional", "fixed-unit", "positive"),
        ("resnet", "fixed-unit", "fixed-tuned"),
        ("fractional", "fixed-unit", "fixed-tuned"),
    ]
    for row in found:
        assert float(row["p"]) <= float(row["p_holm"])
        assert row["of"] == "4"
        shown = row["verdict"] != "no difference shown"
        assert shown == (float(row["p_holm"]) <= 0.05)


def test_every_comparison_is_made_at_every_other_place(tiny):
    """Its change there is that of the errors there, to what a mean over seeds leaves."""
    made, folder = tiny
    told = {(row["split"], row["level"]) for row in rows(folder, "elsewhere")}
    assert told == {("test", "0"), ("test", "0.1"), ("test_inverse_crime", "0.02")}
    assert len(rows(folder, "elsewhere")) == 3 * len(made.comparisons)
    errors = {
        (row["family"], row["method"], row["split"], row["level"]): float(row["error"])
        for row in rows(folder, "errors")
    }
    for row in rows(folder, "elsewhere"):
        place = (row["split"], row["level"])
        one, two = (errors[row["family"], row[arm], *place] for arm in ("baseline", "other"))
        assert float(row["change"]) == pytest.approx(two / one - 1, abs=1e-4)
        assert float(row["low"]) <= float(row["change"]) <= float(row["high"])


def test_the_time_of_a_method_is_that_of_one_observation_alone(tiny, tmp_path, monkeypatch):
    """And of the whole answer, what it makes of the data included: no share of a batch."""
    made, folder = tiny
    asked, whole = [], grading.methods()["mmse"].estimate

    def slowly(self, observations, deviation):
        asked.append(len(observations))
        began = time.process_time()
        while time.process_time() < began + 0.005:  # work: waiting takes no time of a processor
            pass
        return whole(self, observations, deviation)

    monkeypatch.setattr(grading.methods()["mmse"], "estimate", slowly)
    grading.yardstick(str(folder.data("cauchy")), str(tmp_path / "sheet"), "mmse", 0.02, made.spec.levels, 3)
    assert Sheet.read(tmp_path / "sheet").about["one"] >= 0.005
    assert asked[-grading.REPEATS :] == [1] * grading.REPEATS


@pytest.mark.slow
def test_the_same_study_again_gives_the_same_tables_and_bytes(tiny, tmp_path):
    """From nothing but the data: tuning, training and scoring anew, in another number of workers."""
    made, folder = tiny
    again = Folder(tmp_path / "again")
    shutil.copytree(folder.path / "data", again.path / "data")
    study.run(made, again.path, study.Workplace(2))
    tables.write(made, again)
    for name in tables.read(folder.tables):
        assert rows(again, name) == rows(folder, name), name


def test_a_study_goes_on_where_files_are_missing(tiny, tmp_path):
    made, folder = tiny
    again = Folder(tmp_path / "again")
    shutil.copytree(folder.path, again.path)
    variant = made.variants[1]
    kept = again.sheet(variant, 0).read_bytes()
    shutil.rmtree(again.sheet(variant, 1).parent)
    again.sheet(variant, 0).unlink()
    shutil.rmtree(again.tables)
    with ThreadPoolExecutor(1) as pool:
        study.run(made, again.path, study.Workplace(1, pool))
    tables.write(made, again)
    for name in ("errors", "comparisons", "tuning"):
        assert rows(again, name)[0].keys() == rows(folder, name)[0].keys()
        for there, here in zip(rows(folder, name), rows(again, name), strict=True):
            for key, value in there.items():
                if value != here[key]:  # a network that trains in another company differs in its last digits
                    assert float(value) == pytest.approx(float(here[key]), rel=1e-3), (name, key)
    assert Sheet.read(again.sheet(variant, 0)).arrays.keys() == set(_places(kept, tmp_path))


def _places(content, folder):
    (folder / "kept.npz").write_bytes(content)
    return Sheet.read(folder / "kept.npz").arrays


def test_a_finished_study_says_with_what_it_was_made(tiny):
    made, folder = tiny
    content = folder.done.read_text()
    done = json.loads(content)
    assert {"torch", "numpy", "scikit-learn"} <= set(done["provenance"]["versions"])
    assert done["networks by commit"] == {
        done["provenance"]["commit"] or "unknown": sum(v.seeds for v in made.variants)
    }
    study.finish(made, folder)
    assert folder.done.read_text() == content


def test_a_folder_of_another_study_is_refused(tiny, tmp_path):
    _, folder = tiny
    other = plan.load(tiny_study.write(tmp_path), quick=True)
    with pytest.raises(
        StudyError, match=r"holds a study with another seeds, data, tuning; give another folder"
    ):
        study.run(other, folder.path)


def test_a_folder_begun_before_a_setting_existed_is_continued(tiny, tmp_path):
    made, folder = tiny
    older = shutil.copytree(folder.path, tmp_path / "older")
    stored = json.loads((older / "study.json").read_text())
    assert stored.pop("networks") == {}
    (older / "study.json").write_text(json.dumps(stored))
    with ThreadPoolExecutor(1) as pool:
        assert study.run(made, older, study.Workplace(1, pool)).path == older
    for text in ("[]", '{"title": 3}'):
        (older / "study.json").write_text(text)
        with pytest.raises(StudyError, match=r"study\.json"):
            study.run(made, older)


def test_a_yardstick_that_does_not_exist_is_told_before_work(tmp_path):
    file = tiny_study.write(tmp_path)
    file.write_text(file.read_text().replace('"mmse"', '"nmse"'))
    with pytest.raises(StudyError, match=r"yardsticks names 'nmse'; expected some of prior-mean"):
        study.run(plan.load(file), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 rubbish", None])
def test_a_damaged_sheet_is_told_in_a_sentence(tmp_path, damage):
    path = tmp_path / "scores.npz"
    Sheet({Place("test", 0.01): {"squared": np.ones(3)}}, {"one": 1.0}).write(path)
    assert Sheet.read(path).arrays[Place("test", 0.01)]["squared"].sum() == 3
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    with pytest.raises(StudyError, match=r"scores.npz: cannot be read as a score sheet .* remove it"):
        Sheet.read(path)


def test_the_mmse_reaches_what_theory_allows_along_every_direction(opened):
    """Gaussian unknowns of the prior's moments, on the mesh of training: then the bound is exact."""
    known = Known(opened, 0.02)
    directions, gaussian = Directions.of(known), known.gaussian
    rng = np.random.default_rng(0)
    truth = gaussian.sample(rng, 4000)
    sigma = known.deviation(0.02)
    clean = known.forward.batch(truth)
    noise = (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape)) / np.sqrt(2)
    method = grading.methods()["mmse"].fit(known)
    found = directions.squared(method.estimate(clean + sigma * noise, sigma).theta, truth).mean(axis=0)
    np.testing.assert_allclose(found, directions.best(sigma), rtol=0.12)
    assert (np.diff(directions.best(sigma)) >= 0).all()


def test_directions_share_out_the_whole_error(opened):
    """In whitened unknowns of full rank the squared components add up to the Mahalanobis length."""
    known = Known(opened, 0.02)
    directions, gaussian = Directions.of(known), known.gaussian
    rng = np.random.default_rng(1)
    error = rng.standard_normal((5, 8)) + 1j * rng.standard_normal((5, 8))
    length = np.einsum("ni,ij,nj->n", error.conj(), np.linalg.inv(gaussian.covariance), error).real
    np.testing.assert_allclose(directions.squared(error, 0 * error).sum(axis=1), length)


def test_groups_share_out_the_squared_error(opened):
    ruler = Ruler.of(Known(opened, 0.02))
    rng = np.random.default_rng(2)
    estimates, truth = rng.standard_normal((2, 6, 8))
    total = sum(ruler.by_group(estimates, truth).values())
    np.testing.assert_allclose(total, ruler.squared(estimates, truth) * ruler.total)


@pytest.mark.parametrize("change", ["nothing", "softened", "remainder"])
def test_no_perturbation_of_the_size_of_the_noise_does_more_than_the_worst(tiny, asked, change):
    """To first order: the worst one is nearly reached by a search among random ones, and never passed."""
    made, folder = tiny
    run = load(folder.runs / run_name(made.variants[0], 0))
    questions, known = asked
    train = questions.dataset.split("train")
    linear = LinearEstimate.fit(train.observations, run.model.decode(train.parameters), known.deviation(0.02))
    changes = {"nothing": {}, "softened": {"softened": True}, "remainder": {"remainder": linear}}
    model = dataclasses.replace(run.model, **changes[change])
    observed = questions.dataset.split("test").observe(0.02)[:2]
    gains = worst(model, questions, known, observed)
    size = known.deviation(0.02) * np.sqrt(observed.shape[1])
    rng, small = np.random.default_rng(3), 1e-4
    for row, gain in zip(observed, gains, strict=True):
        e = rng.standard_normal((4000, row.size)) + 1j * rng.standard_normal((4000, row.size))
        e *= small * size / np.linalg.norm(e, axis=1, keepdims=True)
        moved = np.sqrt(questions.ruler.squared(_double(model, row + e), _double(model, row[None]))) / small
        assert moved.max() <= gain * 1.001
        assert moved.max() > 0.5 * gain


def _double(model, observations):
    return dataclasses.replace(model, net=copy.deepcopy(model.net).double()).estimate(observations)


def test_misfit_is_one_for_the_truth_where_the_map_is_that_of_the_data(opened):
    from experiments.protocol.scores import misfit

    known, crime = Known(opened, 0.02), opened.split("test_inverse_crime")
    found = misfit(known.forward, crime.parameters, crime.observe(0.02), known.deviation(0.02))
    assert np.mean(found) == pytest.approx(1, abs=0.15)
    assert np.isnan(misfit(known.forward, np.full((1, 8), np.nan), crime.observe(0.02)[:1], 1.0)).all()
