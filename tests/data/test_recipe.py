import contextlib
import copy
import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data
from data import recipe as recipes


@pytest.fixture(scope="module")
def mapping(recipe_file):
    return tomllib.loads(recipe_file.read_text())


@pytest.mark.parametrize("name", [file.stem for file in recipes.SHIPPED.glob("*.toml")])
def test_shipped_recipes_load_by_name_and_by_path_and_commit_no_hidden_inverse_crime(name):
    recipe = recipes.load(name)
    assert recipe == recipes.load(recipes.SHIPPED / f"{name}.toml")
    assert recipe.undeclared_inverse_crimes() == []
    assert {"train", "valid", "test", "test_inverse_crime"} <= set(recipe.splits)


def test_a_loaded_recipe_is_complete(recipe_file):
    recipe = recipes.load(recipe_file)
    assert recipes.parse(recipe.model_dump()) == recipe
    assert {"prior", "survey", "permittivity"} <= set(recipe.problem)
    assert recipe.splits["valid"].mesh == recipe.training_mesh
    assert recipe.splits["test"].mesh != recipe.training_mesh


@pytest.mark.parametrize(
    "overrides",
    [
        {"store.shard": 3},  # changes files
        {"splits.test_inverse_crime.inverse_crime": False},  # changes a label
        {"mesh.grading": 0},  # spells out a default, as another type of number
        {"problem.frequency": 23.9e6},
        {"splits.valid.mesh": {"cells": 3, "degree": 1}},
    ],
)
def test_the_digest_ignores_what_changes_no_number(recipe_file, overrides):
    assert recipes.load(recipe_file, overrides).digest == recipes.load(recipe_file).digest


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": 8},
        {"splits.train.samples": 13},
        {"splits.extra": {"samples": 1}},
        {"mesh.cells": 5},
        {"splits.test_inverse_crime.same_parameters_as": "valid"},
        {"problem.frequency": 24e6},
        {"problem.parametrisation": {"kind": "balls", "count": 2}},
    ],
)
def test_the_digest_notices_what_changes_a_number(recipe_file, overrides):
    assert recipes.load(recipe_file, overrides).digest != recipes.load(recipe_file).digest


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"sed": 1}, r"sed: unknown key; expected one of seed, .*did you mean seed"),
        ({"splits.train.sampels": 5}, r"splits.train.sampels: unknown key; .*samples.*did you mean samples"),
        ({"store.shards": 5}, r"store.shards: unknown key; expected one of shard, .*\(did you mean shard"),
        ({"mesh.cels": 5}, r"mesh.cels: unknown key; .*did you mean cells"),
        ({"splits.test.mesh": {"cellls": 5}}, r"splits.test.mesh.cellls: unknown key; .*did you mean cells"),
        ({"mesh.comm": 1}, r"mesh.comm: unknown key; expected one of cells, degree, grading, cell"),
        ({"splits.test.mesh": {"recipe": "exact"}}, r"splits.test.mesh.recipe: unknown key; expected"),
        ({"problem.frequenzy": 1.0}, r"problem.frequenzy: unknown key.*frequency"),
        ({"problem.kind": "heat"}, r"problem.kind is 'heat'"),
        ({"problem": 3}, r"problem: expected a table, given 3"),
        ({"splits.train": 3}, r"splits.train: expected a table, given 3"),
        ({"splits.train.samples": "many"}, r"splits.train.samples: expected a whole number, given 'many'"),
        ({"splits.train.samples": 0}, r"splits.train.samples: expected greater than or equal to 1, given 0"),
        ({"splits.more": {}}, r"splits.more.samples: missing"),
        ({"seed": -1}, r"seed: expected greater"),
        ({"mesh.cells": [3]}, r"mesh.cells: expected a finite number, text, true or false, given \[3\]"),
        ({"mesh.grading": float("nan")}, r"mesh.grading: expected a finite number"),
        ({"splits.a-b": {"samples": 1}}, r"splits.a-b: a split's name is letters"),
        (
            {"splits.test_inverse_crime.same_parameters_as": "tset"},
            r"same_parameters_as: .*did you mean test",
        ),
        ({"splits.valid.same_parameters_as": "test_inverse_crime"}, r"valid.same_parameters_as: expected"),
        ({"splits.test_inverse_crime.samples": 6}, r"test has 5 samples, fewer than the 6 of"),
        ({"splits.test.inverse_crime": True}, r"splits.test.inverse_crime: declared, but its mesh differs"),
        ({"seed.low": 1}, r"override seed.low: seed is a value"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_with_the_config_path(recipe_file, overrides, sentence):
    with pytest.raises(data.DataError, match=sentence) as caught:
        recipes.load(recipe_file, overrides)
    assert "\n" not in str(caught.value)


def test_a_recipe_needs_training_samples(mapping):
    splits = {"test": mapping["splits"]["test"]}
    with pytest.raises(data.DataError, match="no split named train"):
        recipes.parse({**mapping, "splits": splits})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"seed = ", "not valid TOML"), (b"\xff\xfe", "not UTF-8"), (b"seed = 1\nseed = 2", "not valid TOML")],
)
def test_a_broken_file_is_told_in_one_sentence(tmp_path, content, sentence):
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(data.DataError, match=rf"broken.toml: is {sentence}"):
        recipes.load(file)


def test_a_path_that_is_none_is_told_in_one_sentence():
    with pytest.raises(data.DataError, match=r"recipe 'x+\.\.\.: cannot be read \(File name too long\)"):
        recipes.load("x" * 5000)
    with pytest.raises(data.DataError, match=r"recipe: expected the path of a TOML file .*, given 3"):
        recipes.load(3)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [({3: 3}, "override 3: expected a path such as"), (["seed=3"], "overrides: expected a mapping")],
)
def test_overrides_that_are_no_mapping_of_paths(overrides, sentence):
    with pytest.raises(data.DataError, match=sentence):
        recipes.load("demo", overrides)


def test_assignments_are_paths_with_toml_or_text():
    texts = [
        "seed=3",
        "mesh.cell = hexahedron",
        "store={shard=2}",
        "problem.note=a=b",
        "x.y=",
        "seed=4 # later",
    ]
    assert recipes.assignments(texts) == {
        "seed": 4,
        "mesh.cell": "hexahedron",
        "store": {"shard": 2},
        "problem.note": "a=b",
        "x.y": "",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed", "override 'seed': expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("a\nb=3", r"override 'a\\nb=3': expected KEY=VALUE"),
        ("splits..samples=3", "expected KEY=VALUE"),
        ("seed=5\njunk=3", "holds more than one value"),
        ("seed=5\n[junk]", "holds more than one value"),
        ("seed=" + 5000 * "7", "override seed: is not valid TOML: a number of thousands of digits"),
        ("seed=" + 3000 * "[", "override seed: is not valid TOML: .* tables nested as deep"),
    ],
    ids=["no value", "no key", "key of two lines", "gap", "two values", "table", "digits", "depth"],
)
def test_a_text_that_assigns_nothing_or_more_is_refused(text, sentence):
    with pytest.raises(data.DataError, match=sentence) as caught:
        recipes.assignments([text])
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_path_of_thousands_of_tables_is_told_in_one_sentence(recipe_file):
    for path in ("mesh", "problem", "splits.test.problem"):
        deep = ".".join([path, *"a" * 5000])
        with pytest.raises(data.DataError) as caught:
            recipes.load(recipe_file, {deep: 3})
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_in_one_sentence(tmp_path):
    with pytest.raises(data.DataError, match=r"no such recipe; give a TOML file or one of .*demo"):
        recipes.load(tmp_path / "absent.toml")
    with pytest.raises(data.DataError, match="cannot be read"):
        recipes.load(tmp_path)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
KEYS = st.text(max_size=5) | st.sampled_from(
    ["seed", "splits", "problem", "mesh", "train", "samples", "kind"]
)
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)


def test_junk_gives_a_recipe_or_a_sentence_and_nothing_else():
    @given(st.dictionaries(KEYS, JUNK, max_size=4))
    @settings(max_examples=150, deadline=None)
    def law(junk):
        _recipe_or_sentence(junk)

    law()


def test_a_recipe_with_one_entry_replaced_by_junk_gives_a_recipe_or_a_sentence(mapping):
    @given(st.sampled_from(list(_paths(mapping))), JUNK)
    @settings(max_examples=250, deadline=None)
    def law(path, junk):
        changed = copy.deepcopy(mapping)
        table = changed
        for part in path[:-1]:
            table = table[part]
        table[path[-1]] = junk
        _recipe_or_sentence(changed)

    law()


def test_any_text_assigned_gives_a_recipe_or_a_line(recipe_file, mapping):
    paths = st.sampled_from([".".join(path) for path in _paths(mapping)] + ["splits.new", "new"])
    tables = st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=2).map(
        lambda table: "{" + ", ".join(f"{json.dumps(key)} = {value}" for key, value in table.items()) + "}"
    )
    values = st.text(max_size=8) | st.integers().map(str) | tables | st.just("5\n") | st.just("[[")

    @given(st.text(max_size=12) | st.builds("{}={}{}".format, paths, values, st.sampled_from(["", "\nx=3"])))
    @settings(max_examples=250, deadline=None)
    def law(text):
        told = "nothing"
        try:
            recipe = recipes.load(recipe_file, recipes.assignments([text]))
            assert recipes.parse(recipe.model_dump()).digest == recipe.digest
        except data.DataError as error:
            told = str(error)
        assert told.isprintable()  # so it has no second line

    law()


def _recipe_or_sentence(mapping):
    with contextlib.suppress(data.DataError):
        recipe = recipes.parse(mapping)
        assert recipes.parse(recipe.model_dump()).digest == recipe.digest


def _paths(table, path=()):
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from _paths(value, (*path, key))
