"""Runs that train together: who does, and that neither kills nor company nor a diverging member harm a run."""

import json

import pytest
import torch
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

import surrogates
from experiments import ensembles, runs
from experiments.errors import StudyError
from experiments.specs import RunSpec
from experiments.study import Study, load, train_all
from experiments.training import company

SMALL = {"layers": 3, "width": 8, "components": 6, "epochs": 3, "batch": 16, "draws": 2}
RESNET = RunSpec(**SMALL)
LEARNED = RunSpec(family="fractional", learn_order=True, **SMALL)

OTHER = {
    "family": "dense-additive",
    "time": "simplex",
    "layers": 4,
    "width": 9,
    "horizon": 2.0,
    "order": 0.3,
    "learn_order": True,
    "growth": 4,
    "activation": "relu",
    "field": "antisymmetric",
    "damping": 0.1,
    "components": 5,
    "amplitude": "linear",
    "scale": "common",
    "samples": 30,
    "remainder": True,
    "mesh_error": True,
    "symmetries": True,
    "noise": 0.1,
    "draws": 3,
    "epochs": 4,
    "budget": 1e6,
    "depth": {"growth": {"every": 2}},
    "regularisers": {"magnitude": 0.1},
    "batch": 8,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "seed": 1,
}
"""Another value of every setting."""

BASES = {
    "growth": RunSpec(family="dense-concatenating", **SMALL),
    "learn_order": RunSpec(family="fractional", **SMALL),
    "order": RunSpec(family="fractional", **SMALL),
    "damping": RunSpec(field="antisymmetric", **SMALL),
    "regularisers": RunSpec(time="positive", **SMALL),
}
MEMBERS_OWN = ["time", "horizon", "noise", "learning_rate", "weight_decay", "seed"]


def changed(spec, **values):
    return RunSpec(**{**spec.model_dump(), **values})


def three(**last):
    """A group of three runs, of which the last has settings of its own."""
    second = changed(RESNET, seed=1, time="simplex")
    return {"a": RESNET, "b": second, "c": changed(RESNET, seed=2, **last)}


def weights(folder):
    return runs.load(folder).net.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix in (".pt", ".json")}


@pytest.fixture(scope="module")
def dataset(demo):
    return demo / "data"


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """The group of three, trained without interruption; for reading only."""
    out = tmp_path_factory.mktemp("trained")
    ensembles.train(dataset, out, three())
    return out


@pytest.fixture
def killed_while_writing(monkeypatch):
    """Prepare a kill when the model file of so many runs is there and that of the next one is to be written."""
    save = surrogates.Model.save

    def prepare(after):
        written = []

        def until_killed(model, path):
            if len(written) == after:
                raise KeyboardInterrupt
            save(model, path)
            written.append(path)

        monkeypatch.setattr(surrogates.Model, "save", until_killed)

    yield prepare
    monkeypatch.undo()


@given(
    seeds=st.integers(1, 9),
    most=st.integers(1, 9),
    times=st.lists(st.sampled_from(["fixed", "simplex", "positive"]), min_size=1, max_size=3, unique=True),
)
def test_groups_cover_the_study_in_its_order_and_are_of_equal_size(seeds, most, times):
    variants = {f"{family}-{time}": (family, time) for family in ("resnet", "fractional") for time in times}
    specs = {name: RunSpec(family=family, time=time) for name, (family, time) in variants.items()}
    study = Study("demo", seeds, specs, most)
    groups = study.groups()
    assert [name for group in groups for name in group] == list(study.runs())
    assert {name: spec for group in groups for name, spec in group.items()} == study.runs()
    for family in ("resnet", "fractional"):
        sizes = [len(group) for group in groups if next(iter(group.values())).family == family]
        assert max(sizes) <= most
        assert max(sizes) - min(sizes) <= 1
        assert (len(sizes) - 1) * most < sum(sizes)  # no fewer would do
    assert all(len({company(spec) for spec in group.values()}) == 1 for group in groups)


def test_only_what_members_may_have_of_their_own_may_differ_in_a_group():
    assert set(OTHER) == set(RunSpec.model_fields)
    together = [
        name
        for name, value in OTHER.items()
        if company(changed(BASES.get(name, RESNET), **{name: value})) == company(BASES.get(name, RESNET))
    ]
    assert sorted(together) == sorted(MEMBERS_OWN)
    assert company(changed(LEARNED, order=0.3)) == company(LEARNED)


@pytest.mark.parametrize("base", [RESNET, LEARNED], ids=["resnet", "learned order"])
def test_all_that_may_differ_trains_together_and_as_if_alone(dataset, tmp_path, base):
    """One group of all kinds of members; single training of each is the slow twin."""
    group = {name: changed(base, **{name: OTHER[name]}) for name in MEMBERS_OWN}
    if base.learn_order:
        group["order"] = changed(base, order=OTHER["order"])
    assert len(Study("demo", 1, group, len(group)).groups()) == 1
    losses = ensembles.train(dataset, tmp_path / "together", group)
    assert list(losses) == list(group)
    for name, spec in group.items():
        one, alone = (
            runs.load(tmp_path / "together" / name),
            runs.train(dataset, tmp_path / "alone" / name, spec),
        )
        assert one.spec == spec
        assert one.record["best_epoch"] == alone.record["best_epoch"]
        assert one.record["best_loss"] == losses[name]
        for key, value in alone.net.state_dict().items():
            torch.testing.assert_close(one.net.state_dict()[key], value, rtol=1e-4, atol=1e-5)
        for key in ("start", "end"):
            for part, values in alone.record["gradients"][key].items():
                assert one.record["gradients"][key][part] == pytest.approx(values, rel=1e-3, abs=1e-6)
        assert (one.compression.mean == alone.compression.mean).all()
        assert (one.record["together"], alone.record["together"]) == (len(group), 1)


def test_those_that_trained_together_share_its_time_and_leave_only_run_folders(trained):
    records = [runs.load(trained / name).record for name in three()]
    assert len({record["seconds"] for record in records}) == 1
    assert {record["together"] for record in records} == {3}
    assert sorted(path.name for path in trained.iterdir()) == ["a", "b", "c"]


def test_an_ensemble_of_one_is_the_run_of_the_train_command(dataset, tmp_path):
    ensembles.train(dataset, tmp_path, {"one": RESNET})
    assert same(weights(tmp_path / "one"), runs.train(dataset, tmp_path / "other", RESNET).net.state_dict())


@pytest.mark.parametrize("after", [0, 1, 2])
def test_killed_between_the_writing_of_two_members_all_end_the_same(
    dataset, trained, tmp_path, killed_while_writing, monkeypatch, after
):
    killed_while_writing(after)
    with pytest.raises(KeyboardInterrupt):
        ensembles.train(dataset, tmp_path, three())
    monkeypatch.undo()
    names = list(three())
    before = [stamps(tmp_path / name) for name in names[:after]]
    assert list(ensembles.train(dataset, tmp_path, three())) == names[after:]
    assert [stamps(tmp_path / name) for name in names[:after]] == before
    assert all(same(weights(tmp_path / name), weights(trained / name)) for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_where_some_are_complete_the_others_train_together_and_survive_a_kill(
    dataset, trained, tmp_path, killed_while_writing, monkeypatch
):
    """As when a study gets more seeds: `a` is complete before there is a group."""
    ensembles.train(dataset, tmp_path / "straight", {"a": RESNET})
    ensembles.train(dataset, tmp_path / "killed", {"a": RESNET})
    before = stamps(tmp_path / "killed" / "a")
    assert list(ensembles.train(dataset, tmp_path / "straight", three())) == ["b", "c"]
    killed_while_writing(1)
    with pytest.raises(KeyboardInterrupt):
        ensembles.train(dataset, tmp_path / "killed", three())
    monkeypatch.undo()
    assert list(ensembles.train(dataset, tmp_path / "killed", three())) == ["c"]
    assert stamps(tmp_path / "killed" / "a") == before
    for name in ("b", "c"):
        found = runs.load(tmp_path / "killed" / name)
        assert found.record["together"] == 2
        assert same(found.net.state_dict(), weights(tmp_path / "straight" / name))
        for key, value in weights(trained / name).items():
            torch.testing.assert_close(found.net.state_dict()[key], value, rtol=1e-4, atol=1e-5)


def test_a_run_that_is_removed_while_others_wait_is_trained_after_them(
    dataset, tmp_path, killed_while_writing, monkeypatch
):
    ensembles.train(dataset, tmp_path, {"a": RESNET})
    killed_while_writing(1)
    with pytest.raises(KeyboardInterrupt):
        ensembles.train(dataset, tmp_path, three())
    monkeypatch.undo()
    (tmp_path / "a" / "run.json").unlink()
    assert list(ensembles.train(dataset, tmp_path, three())) == ["c", "a"]
    assert [runs.load(tmp_path / name).record["together"] for name in three()] == [1, 2, 2]


@pytest.mark.parametrize(("most", "checkpoints"), [(8, 1), (1, 0)], ids=["together", "one by one"])
def test_a_run_that_leaves_the_numbers_does_not_take_the_others_with_it(
    dataset, tmp_path, in_this_process, most, checkpoints
):
    """The study says which and why, at the end; again the same, together at once from the checkpoint."""
    variants = {"good": RESNET, "bad": changed(RESNET, learning_rate=1e30), "dense": BASES["growth"]}
    study, sentences, kept = Study("demo", 2, variants, most), [], []
    for _ in range(2):
        with pytest.raises(
            StudyError, match="4 of 6 networks are trained, but not bad-seed0, bad-seed1"
        ) as error:
            train_all(study, dataset, tmp_path, workers=1)
        sentences.append(str(error.value))
        kept.append({path: path.read_bytes() for path in tmp_path.rglob("*.pt")})
    assert "training stopped in epoch 1" in sentences[0]
    assert "\n" not in sentences[0]
    assert sentences[0] == sentences[1]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 4 + checkpoints
    assert not list((tmp_path / "bad-seed0").glob("*.*t"))
    for key, value in runs.train(dataset, tmp_path / "alone", RESNET).net.state_dict().items():
        torch.testing.assert_close(weights(tmp_path / "good-seed0")[key], value, rtol=1e-4, atol=1e-5)


def test_a_study_trains_each_group_once_and_clears_what_a_kill_left(
    dataset, tmp_path, in_this_process, capsys
):
    study = Study("demo", 2, {"fixed": RESNET, "learned": changed(RESNET, time="simplex")}, 2)
    train_all(study, dataset, tmp_path, workers=2)
    assert capsys.readouterr().err.splitlines()[-1].count(": validation loss ") == 2
    assert {runs.load(tmp_path / name).record["together"] for name in study.runs()} == {2}
    before = {name: stamps(tmp_path / name) for name in study.runs()}
    left = ensembles.folder(tmp_path, list(study.groups()[0]))
    left.mkdir()
    (left / "checkpoint.pt").touch()
    train_all(study, dataset, tmp_path, workers=2)
    assert not left.exists()
    assert {name: stamps(tmp_path / name) for name in study.runs()} == before


def test_a_study_removes_what_its_other_groups_left_and_nothing_that_is_needed(
    dataset, tmp_path, killed_while_writing, monkeypatch, request
):
    """Interrupted, then continued with more seeds in smaller groups; beside it another study, and a process."""
    variants = {"fixed": RESNET, "learned": changed(RESNET, time="simplex")}
    (group,) = Study("demo", 2, variants, 4).groups()
    killed_while_writing(2)
    with pytest.raises(KeyboardInterrupt):
        ensembles.train(dataset, tmp_path, group)
    killed_while_writing(0)
    with pytest.raises(KeyboardInterrupt):
        ensembles.train(dataset, tmp_path, three())
    monkeypatch.undo()
    request.getfixturevalue("in_this_process")
    left, needed = (ensembles.folder(tmp_path, list(names)) for names in (group, three()))
    bare = tmp_path / ".together-0123456789abcdef"
    bare.mkdir()
    (bare / "checkpoint.pt").touch()
    more = Study("demo", 3, variants, 2)
    with FileLock(tmp_path / "a" / ".lock"):  # whose list may be about to be written
        ensembles.tidy(tmp_path)
        assert left.exists()
        train_all(more, dataset, tmp_path, workers=1)
        assert bare.exists()
    assert needed.exists()
    assert not left.exists()
    with FileLock(tmp_path / "fixed-seed0" / ".lock"):
        left.mkdir()
        (left / "members.json").write_text(json.dumps({"runs": dict.fromkeys(group)}))
        train_all(more, dataset, tmp_path, workers=1)
        assert left.exists()
    train_all(more, dataset, tmp_path, workers=1)
    assert sorted(tmp_path.glob(".together-*")) == [needed]
    assert list(ensembles.train(dataset, tmp_path, three())) == list(three())


def test_a_run_that_another_process_trains_is_not_trained_here(dataset, tmp_path):
    (tmp_path / "b").mkdir()
    with (
        FileLock(tmp_path / "b" / ".lock"),
        pytest.raises(StudyError, match="b: another process trains here"),
    ):
        ensembles.train(dataset, tmp_path, three())
    assert list(ensembles.train(dataset, tmp_path, three())) == list(three())


def test_an_interrupted_group_is_continued_by_the_same_study_alone(
    dataset, tmp_path, killed_while_writing, monkeypatch
):
    killed_while_writing(0)
    with pytest.raises(KeyboardInterrupt):
        ensembles.train(dataset, tmp_path, three())
    monkeypatch.undo()
    with pytest.raises(StudyError, match=r"training of c with noise = 0.01, and 0.1 was asked for"):
        ensembles.train(dataset, tmp_path, three(noise=0.1))
    home = ensembles.folder(tmp_path, list(three()))
    written = (home / "members.json").read_text()
    content = json.loads(written)
    for damage, expected in (
        (json.dumps({**content, "data set": "another"}), "on another data set"),
        ("{", "cannot be read as list of runs"),
        ("[]", "is not a list of runs that train together"),
        (json.dumps({"runs": {"d": {}}}), "is not a list of runs that train together"),
    ):
        (home / "members.json").write_text(damage)
        with pytest.raises(StudyError, match=expected) as error:
            ensembles.train(dataset, tmp_path, three())
        assert f"remove {home}" in str(error.value)
    (home / "members.json").unlink()  # the checkpoint alone says nothing
    assert list(ensembles.train(dataset, tmp_path, three())) == list(three())


def test_a_study_says_how_many_train_together(tmp_path, study_file):
    assert [len(group) for group in load(study_file).groups()] == [4, 4]
    alone = tmp_path / "study.toml"
    alone.write_text("ensemble = 1\n" + study_file.read_text())
    assert [len(group) for group in load(alone).groups()] == [1] * 8
    alone.write_text("ensemble = 0\n" + study_file.read_text())
    with pytest.raises(StudyError, match="ensemble"):
        load(alone)
