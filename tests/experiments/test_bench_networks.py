"""`maxinv bench networks`: everything it says is there and consistent; laws of its own arithmetic."""

import json

import pytest

from experiments import cli
from experiments.bench import members, network_tables, networks, passes, rates
from experiments.bench.passes import CASES, CONSTANT, LOOP, Size
from surrogates import FAMILIES, training


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What the quick run writes."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    assert cli.main(["bench", "networks", "--quick", "--out", str(out)]) == 0
    return json.loads(out.read_text("utf-8"))


def test_every_family_is_measured_at_every_depth_beside_the_loop(quick):
    rows = quick["depth"]["rows"]
    assert [row["depth"] for row in rows] == [4, 8, 16]
    for row in rows:
        assert {family.__name__ for family in FAMILIES} <= row["cases"].keys()
        for case in row["cases"].values():
            assert 0 < case["best"] <= case["median"]
            assert case["peak"] >= 0
    assert {LOOP, CONSTANT} <= rows[1]["cases"].keys()
    assert quick["depth"]["left out"].keys() == {LOOP, CONSTANT}


def test_ratios_are_those_of_the_rows(quick):
    cases, found = quick["depth"]["rows"][1]["cases"], quick["depth"]["headline"]
    assert found["depth"] == 8
    ratio = found["ratios"][f"{LOOP} / Fractional"]
    assert ratio["best"] == pytest.approx(cases[LOOP]["best"] / cases["Fractional"]["best"])
    assert ratio["median"] == pytest.approx(cases[LOOP]["median"] / cases["Fractional"]["median"])


def test_distances_are_measured_over_predicted(quick):
    found = quick["bounds"]
    assert found["rates"]["products"] == max(found["rates"]["by_size"].values())
    assert [(row["net"], row["depth"]) for row in found["rows"]] == [
        (net, depth) for depth in (8, 16) for net in ("ResNet", "Fractional")
    ]
    for row in found["rows"]:
        flops = row["fields"] + row["memory"]
        assert row["predicted"]["products"] == pytest.approx(flops / found["rates"]["products"])
        assert row["distance"] == pytest.approx(row["best"] / row["predicted"]["sum"])
        assert 1 < row["distance"] < row["distance_products"]


def test_ensembles_are_set_against_one_net(quick):
    rows = quick["ensemble"]
    assert [(row["net"], row["loop"]) for row in rows] == [
        (net, loop) for net in ("ResNet", "Fractional") for loop in ("bare", "training")
    ]
    for row in rows:
        assert 0 < row["one"]["best"] <= row["one"]["median"]
        assert row["cost"]["best"] == pytest.approx(row["ensemble"]["best"] / row["one"]["best"])
        assert row["throughput"]["best"] == pytest.approx(row["members"] / row["cost"]["best"])


def test_training_is_divided_by_its_number_of_updates(monkeypatch):
    counted = []

    def count(nets, train, valid, settings):
        counted.append(settings.epochs * -(-len(train[0]) // settings.batch))

    for name in ("fit", "fit_ensemble"):
        monkeypatch.setattr(training, name, count)
    size = Size(2, 4, 5)
    prepare, updates = members.LOOPS["training"]
    for action in prepare([CASES["ResNet"](size)], size).values():
        action()
    assert counted == [updates, updates]


def test_the_run_says_where_it_was_measured_and_what(quick):
    assert quick["environment"]["versions"]["torch"]
    assert quick["size"] == {"depth": 8, "width": 8, "batch": 16, "precision": "float32"}
    assert quick["finished"]


def test_tables_are_printed(quick, capsys):
    network_tables.show(quick)
    said = capsys.readouterr().out
    for word in (
        "best turn (median turn)",
        "Peak memory",
        "Ratios at L=8",
        "Gflop/s",
        "over sum",
        "throughput",
        "fit_ensemble",
    ):
        assert word in said


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_counted_without_building_the_net(name):
    expected = sum(value.numel() for value in CASES[name](Size(9, 6)).parameters())
    assert passes.parameters(name, 9, 6) == expected


def test_the_plan_leaves_out_what_grows_too_large_and_says_so():
    plan = networks.PLANS["default"]
    for depth in plan.depths:
        for family in FAMILIES:
            fits = passes.parameters(family.__name__, depth) <= plan.parameters
            assert (family.__name__ in plan.cases(depth)) == fits
        assert (LOOP in plan.cases(depth)) == (depth <= 128)
    assert plan.left_out().keys() == CASES.keys() - set(plan.cases(1024))
    assert "not from L=256 on" in plan.left_out()[LOOP]


def test_growth_is_that_of_a_power_law_from_the_given_depth_on():
    def row(depth, value):
        return {"depth": depth, "cases": {"net": {"best": value}}}

    rows = [row(8, 1e3), *(row(depth, 3.0 * depth**1.5) for depth in (16, 32, 64))]
    found = networks.growth(rows, "net", "best", 16)
    assert found["slope"] == pytest.approx(1.5)
    assert found["ratio"] == pytest.approx(1.5)
    assert (found["first"], found["last"]) == (16, 64)
    last_two = networks.growth(rows, "net", "best", 64)  # too few from there on
    assert (last_two["first"], last_two["last"]) == (32, 64)
    assert networks.growth(rows[:1], "net", "best", 4) is None


def test_counts_grow_with_the_depth_as_they_should():
    few, many = (rates.counts("Fractional", Size(depth, 4, 10)) for depth in (8, 16))
    assert many["fields"] == 2 * few["fields"] == 6 * 16 * 10 * 4 * 4
    assert many["memory"] == 4 * few["memory"] == 6 * 16 * 16 // 2 * 10 * 4
    assert rates.counts("ResNet", Size(8, 4, 10))["memory"] == 0
    assert (
        rates.counts("ResNet", Size(8, 4, 10, "float64"))["bytes"]
        == 2 * rates.counts("ResNet", Size(8, 4, 10))["bytes"]
    )


def test_calls_that_are_short_are_repeated_within_a_turn_and_all_take_turns():
    order = []
    found = passes.clocked({name: lambda name=name: order.append(name) for name in "ab"}, turns=4, least=1e-4)
    changes = [name for name, before in zip(order, ["", *order[:-1]], strict=True) if name != before]
    assert changes == ["a", "b"] * 5  # once to warm up, then four turns
    assert all(0 < clock["best"] <= clock["median"] for clock in found.values())


def test_peak_of_a_pass_is_what_it_holds_and_not_what_building_the_net_took():
    """Between what a ResNet keeps for the way back, a tensor of a state's size for each layer, and twice that."""
    size = Size(depth=64, width=32, batch=500)
    kept = 64 * 32 * 500 * 4 / 1e6
    found = networks.alone(passes.measure, ("ResNet",), size, 1, preload=networks.PRELOAD)
    assert kept < found["ResNet"]["peak"] < 2 * kept


@pytest.fixture
def counted(monkeypatch):
    """A plan of three depths, a number each, measured until none is left of those allowed."""
    allowed = [3]

    def measure(function, names, size, turns, preload):
        if not allowed[0]:
            raise KeyboardInterrupt
        allowed[0] -= 1
        return {name: {"best": 1.0, "median": 1.0, "peak": float(size.depth)} for name in names}

    monkeypatch.setattr(networks, "alone", measure)
    return allowed


def bench(out):
    return cli.main(["bench", "networks", "--quick", "--part", "depth", "--out", str(out)])


def test_a_run_that_was_stopped_is_taken_up_at_its_depth(tmp_path, counted, capsys):
    out = tmp_path / "bench.json"
    counted[0] = 2
    assert bench(out) == 130
    assert [row["depth"] for row in json.loads(out.read_text("utf-8"))["depth"]["rows"]] == [4, 8]
    counted[0] = 1
    assert bench(out) == 0
    assert "depth: 2 depths taken up" in capsys.readouterr().err
    result = json.loads(out.read_text("utf-8"))
    assert [row["depth"] for row in result["depth"]["rows"]] == [4, 8, 16]
    assert result["depth"]["growth"]["ResNet"]["peak"]["slope"] == pytest.approx(1)
    assert result["finished"]


def test_precision_is_a_choice_and_another_precision_another_run(tmp_path, counted):
    out = tmp_path / "bench.json"
    arguments = ["bench", "networks", "--quick", "--part", "depth", "--out", str(out)]
    counted[0] = 1
    assert cli.main(arguments) == 130
    counted[0] = 3
    assert cli.main([*arguments, "--precision", "float64"]) == 0
    assert json.loads(out.read_text("utf-8"))["size"]["precision"] == "float64"
    assert counted[0] == 0
