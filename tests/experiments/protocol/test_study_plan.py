from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny_study

from experiments.errors import StudyError
from experiments.protocol import plan, study
from experiments.protocol.plan import TUNING_SEEDS, merged
from experiments.protocol.study import layer_evaluations
from experiments.specs import DepthSpec, RegularisersSpec, RunSpec


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


def test_an_arm_may_begin_at_another_depth_and_change_it(tmp_path):
    text = tiny_study.write(tmp_path).read_text()
    grown = """[arms.grown]
label = "grown"
time = "positive"
layers = 1
depth = { growth = { every = 2 }, deepest = 4 }
regularisers = { magnitude = 0.1 }
[arms.free]"""
    text = text.replace("[arms.free]", grown).replace('"free"]', '"free", "grown"]')
    text = text.replace('"positive"]', '"positive", "grown"]')
    (tmp_path / "tiny.toml").write_text(text)
    made = plan.load(tmp_path / "tiny.toml")
    variant, other = (v for v in made.variants if v.arm == "grown")
    assert (variant.cell.family, other.cell.family) == ("resnet", "fractional")  # and no feed-forward network
    spec = made.run(variant, made.points[0], 0)
    assert (spec.layers, variant.cell.layers) == (1, 2)
    assert spec.depth == DepthSpec(growth={"every": 2}, deepest=4)
    assert spec.regularisers == RegularisersSpec(magnitude=0.1)


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


def test_a_study_that_repeats_another_has_seeds_of_its_own_and_the_same_tuning(made, tmp_path):
    again = plan.load(changed(tmp_path, "[network]", "first_seed = 2\n[network]"))
    settings = {variant.name: made.points[0] for variant in made.variants}
    first, second = (each.finals(settings) for each in (made, again))
    assert first.keys() == second.keys()
    for name, spec in second.items():
        assert spec == first[name].model_copy(update={"seed": first[name].seed + 2})
    assert again.trials() == made.trials()
    with pytest.raises(StudyError, match="first_seed"):
        plan.load(changed(tmp_path, "[network]", "first_seed = -1\n[network]"))


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


CURVE = """[[grid]]
data = ["cauchy"]
families = ["resnet"]
arms = ["fixed-tuned", "positive"]
layers = [2, 4]
noise = [0.02]
samples = [60]
networks = ["small", "long"]
settings = { learning_rate = 2e-3, weight_decay = 0.0, horizon = 3.0 }
[networks.small]
width = 4
[networks.long]
epochs = 9
[quick]"""


@pytest.fixture
def curve(tmp_path):
    return plan.load(changed(tmp_path, "[quick]", CURVE))


def test_a_named_network_replaces_what_all_share(curve):
    by_name = {variant.name: variant for variant in curve.variants}
    variant = by_name["cauchy/resnet-L4-noise0.02-n60-small/positive"]
    assert (variant.cell.network, variant.cell.samples) == ("small", 60)
    run = curve.run(variant, curve.points[0], 0)
    assert (run.width, run.epochs, run.samples) == (4, 4, 60)
    other = curve.run(by_name["cauchy/resnet-L4-noise0.02-n60-long/positive"], curve.points[0], 0)
    assert (other.width, other.epochs) == (8, 9)
    assert len(by_name) == 16
    assert all(v.cell.network is None for v in curve.variants if v.cell.samples is None)


def test_given_settings_are_used_and_not_tuned(curve, made):
    assert curve.trials().keys() == made.trials().keys()
    given = [variant for variant in curve.variants if curve.given(variant) is not None]
    assert {variant.cell.samples for variant in given} == {60}
    tuned = {v.name: curve.points[0] for v in curve.variants if v not in given}
    finals = curve.finals(tuned)
    for variant in given:
        spec = finals[f"{variant.name}/seed1"]
        assert (spec.learning_rate, spec.weight_decay, spec.seed) == (2e-3, 0.0, 1)
        assert spec.horizon == (3.0 if variant.arm == "fixed-tuned" else 1.0)
    assert set(finals) == {f"{v.name}/seed{seed}" for v in curve.variants for seed in range(v.seeds)}


SETTINGS = "settings = { learning_rate = 2e-3, weight_decay = 0.0, horizon = 3.0 }\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"small", "long"', '"small", "wide"', r"grid\.networks names 'wide'; expected one of small, long"),
        (", horizon = 3.0", "", "give no horizon, which arm 'fixed-tuned' would have tuned"),
        ("weight_decay = 0.0", "weight_decay = -1.0", "weight_decay"),
        ("learning_rate = 2e-3", "rate = 2e-3", "rate"),
        ("width = 4", "layers = 4", r"networks\.small sets layers, which the grid tells; leave it out"),
        ("width = 4", "seed = 4", r"networks\.small sets seed, which the study tells"),
        ("width = 4", "wide = 4", "small.*wide"),
        ("draws = 2", "draws = 2\nlearning_rate = 0.1", "network sets learning_rate, which the tuning"),
        ("[networks.small]", "[networks.n5-a]\n[networks.small]", r"networks\.n5-a reads as a number of samples"),
        ("[networks.small]", CURVE.replace(SETTINGS, "").split("[networks")[0] + "[networks.small]", "without"),
        ("[networks.small]", CURVE.replace("2e-3", "3e-3").split("[networks")[0] + "[networks.small]", "blocks"),
    ],
)  # fmt: skip
def test_mistakes_of_a_curve_are_told_in_a_sentence(tmp_path, old, new, said):
    file = changed(tmp_path, "[quick]", CURVE)
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(StudyError, match=said) as caught:
        plan.load(file)
    assert "\n" not in str(caught.value)


def test_networks_where_none_has_a_name_are_told(tmp_path):
    file = changed(
        tmp_path,
        "layers = [2]\nnoise = [0.02]\nseeds",
        'networks = ["a"]\nlayers = [2]\nnoise = [0.02]\nseeds',
    )
    with pytest.raises(StudyError, match=r"grid\.networks names 'a'; expected a table \[networks\.a\]"):
        plan.load(file)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("layers = [2]\nnoise = [0.02]\nseeds", "layers = [2]\nsamples = [9000]\nnoise = [0.02]\nseeds",
         "has 120 training samples, and cauchy/feed-forward-L2-noise0.02-n9000 asks for 9000; ask for fewer"),
        ("components = 12", "components = 121", "asks for 121 principal components of 120 training samples"),
        ("[splits.valid]", "[splits.other]", "has no split valid, which a study needs"),
    ],
)  # fmt: skip
def test_what_the_data_will_not_have_is_told_before_they_are_made(tmp_path, old, new, said):
    file = tiny_study.write(tmp_path)
    for text in (file, tmp_path / "recipe.toml"):
        text.write_text(text.read_text().replace(old, new))
    with pytest.raises(StudyError, match=said), ThreadPoolExecutor(1) as pool:
        study.run(plan.load(file), tmp_path / "out", study.Workplace(1, pool))
    assert not (tmp_path / "out" / "data").exists()


def test_training_data_without_noise_are_refused(tmp_path):
    file = changed(tmp_path, "layers = [2]\nnoise = [0.02]\nseeds", "layers = [2]\nnoise = [0.0]\nseeds")
    with pytest.raises(StudyError, match=r"grid\.1\.noise\.0.*greater than 0"):
        plan.load(file)


def test_some_data_sets_alone_have_the_runs_that_they_have_in_the_whole():
    whole = plan.load("learned_steps")
    some = plan.load("learned_steps", data=["magnetisation", "blocks"])
    assert list(some.spec.data) == ["magnetisation", "blocks"]
    assert list(some.spec.networks) == ["wide", "turned"]
    expected = [v for v in whole.variants if v.cell.data in ("magnetisation", "blocks")]
    assert some.variants == expected
    assert {v.cell.data for v in expected} == {"magnetisation", "blocks"}
    trials = whole.trials()
    assert some.trials() == {name: trials[name] for name in some.trials()}
    assert [some.given(v) for v in expected] == [whole.given(v) for v in expected]
    with pytest.raises(StudyError, match="has no data set 'moon'; expected some of cauchy, magnetisation"):
        plan.load("learned_steps", data=["cauchy", "moon"])


def test_comparisons_of_a_part_share_the_error_rate_of_the_whole():
    whole = plan.load("learned_steps")
    parts = [plan.load("learned_steps", data=[name]) for name in whole.spec.data]
    assert {part.family for part in parts} == {whole.family} == {len(whole.comparisons)}
    assert sum(len(part.comparisons) for part in parts) == whole.family
    for about, baseline, other in whole.comparisons:
        assert (baseline.arm, other.arm) == (about.baseline, about.other)
        assert baseline.cell == other.cell
        assert min(baseline.seeds, other.seeds) > 1
