import pytest
import tiny_study

from experiments.errors import StudyError
from experiments.protocol import plan
from experiments.protocol.plan import TUNING_SEEDS, merged
from experiments.protocol.study import layer_evaluations
from experiments.specs import RunSpec


@pytest.fixture
def made(tmp_path):
    return plan.load(tiny_study.write(tmp_path))


def changed(tmp_path, old, new):
    file = tiny_study.write(tmp_path)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return file


def test_every_arm_of_every_cell_but_those_that_cannot_be(made):
    names = [variant.name for variant in made.variants]
    assert len(set(names)) == len(names) == 8
    assert "cauchy/fractional-L2-noise0.02/free" not in names  # a step that turns negative gives NaN
    assert "cauchy/feed-forward-L2-noise0.02/positive" not in names  # no steps to learn


def test_arms_differ_in_their_steps_alone(made):
    settings = made.points[0]
    runs = {v.arm: made.run(v, settings, 3) for v in made.variants if v.cell.family == "resnet"}
    for arm, run in runs.items():
        assert run.model_copy(update={"time": "fixed", "horizon": 1.0}) == runs["fixed-unit"], arm
        assert run.horizon == (settings["horizon"] if arm == "fixed-tuned" else 1.0)


def test_every_arm_is_tuned_with_the_same_budget_at_seeds_of_its_own(made):
    trials = made.trials()
    for variant in made.variants:
        own = [spec for name, spec in trials.items() if name.startswith(f"{variant.name}/")]
        assert len(own) == 2
        assert {spec.seed for spec in own} == {TUNING_SEEDS}
        assert len({layer_evaluations(spec, 120) for spec in own}) == 1
        assert [spec.learning_rate for spec in own] == [point["learning_rate"] for point in made.points]
    finals = made.finals({variant.name: made.points[0] for variant in made.variants})
    assert {spec.seed for spec in finals.values()} == {0, 1}
    assert not {spec.seed for spec in finals.values()} & {spec.seed for spec in trials.values()}


def test_points_lie_in_their_ranges_and_more_trials_keep_the_first(made, tmp_path):
    tuning = made.spec.tuning
    for point in made.points:
        for name, value in point.items():
            assert getattr(tuning, name).low <= value <= getattr(tuning, name).high
    more = plan.load(changed(tmp_path, "[tuning]\ntrials = 2", "[tuning]\ntrials = 7"))
    assert len(more.points) == 7
    assert more.points[:2] == made.points


def test_quick_changes_keys_and_keeps_the_rest(tmp_path, made):
    quick = plan.load(tiny_study.write(tmp_path), quick=True)
    assert quick.quick
    assert (quick.spec.seeds, quick.spec.tuning.trials) == (1, 1)
    assert quick.spec.data == made.spec.data
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}) == {
        "a": {"b": 3, "c": 2},
        "d": [2],
    }


def test_layer_evaluations_count_samples_layers_and_epochs():
    assert layer_evaluations(RunSpec(layers=4, epochs=3), 100) == 1200
    assert layer_evaluations(RunSpec(layers=4, epochs=3, samples=10), 100) == 120


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('arms = ["fixed-unit", "positive"]', 'arms = ["fixed"]', "grid.arms names 'fixed'; expected one of"),
        ('data = ["cauchy"]', 'data = ["waves"]', "grid.data names 'waves'; expected one of cauchy"),
        ('baseline = "fixed-unit"', 'baseline = "none"', "comparisons name 'none'"),
        ("ensemble = 4", "ensemble = 0", "ensemble"),
        ("width = 8", "width = -8", "width"),
        ("width = 8", "wide = 8", "wide"),
        ('horizon = "tuned"', 'horizon = "best"', "horizon"),
        ("trials = 2", "trials = 2\nlearning_rate = { low = 2.0, high = 1.0 }", "expected low < high"),
        ("[quick]\nseeds = 1\n[quick.tuning]\ntrials = 1\n", "", r"no table \[quick\]"),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path, old, new, said):
    file = changed(tmp_path, old, new)
    with pytest.raises(StudyError, match=said) as caught:
        plan.load(file, quick=True)
    assert "\n" not in str(caught.value)


def test_the_study_that_comes_with_the_package_is_whole():
    for quick in (False, True):
        made = plan.load("learned_steps", quick)
        assert made.trials()
        arms = {comparison.baseline for comparison in made.spec.comparisons}
        assert arms <= set(made.spec.arms)
    assert plan.load("learned_steps").spec.seeds >= 10
