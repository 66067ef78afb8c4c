"""Schedules of depth: plain data that comes back, and refuses what makes no sense."""

import json
import pickle

import pytest

from surrogates import SurrogateError
from surrogates.depth import DepthSchedule, Drawn, Growth, Largest, Pruning, Smallest, Splitting

STILL = DepthSchedule()
GROWING = DepthSchedule(growth=Growth(every=2, ratio=0.0))
BOTH = DepthSchedule(
    growth=Growth(every=3, count=2, ratio=0.0, choice=Drawn(1)), pruning=Pruning(threshold=0.2, grace=2)
)


@pytest.mark.parametrize(
    "schedule",
    [
        STILL,
        GROWING,
        BOTH,
        DepthSchedule(growth=Splitting(every=2, times=3, count=2, samples=9), shallowest=2, deepest=9),
        DepthSchedule(growth=Growth(every=1, choice=Smallest())),
    ],
    ids=["still", "growing", "both", "splitting", "smallest"],
)
def test_is_plain_data_and_comes_back(schedule):
    assert DepthSchedule.from_plain(json.loads(json.dumps(schedule.plain()))) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Growth(every=0), "every must be a whole number >= 1"),
        (lambda: Growth(every=1, count=0), "count"),
        (lambda: Growth(every=1, ratio=-1.0), "ratio"),
        (lambda: Growth(every=1, samples=0), "samples"),
        (lambda: Growth(every=1, choice="best"), "choice"),
        (lambda: Splitting(every=1, times=-1), "times"),
        (lambda: Splitting(every=1, count=0), "count"),
        (lambda: Splitting(every=1, samples=0), "samples"),
        (lambda: Pruning(threshold=1.0), "threshold"),
        (lambda: Pruning(grace=-1), "grace"),
        (lambda: Pruning(count=0), "count"),
        (lambda: DepthSchedule(growth=3), "growth"),
        (lambda: DepthSchedule(pruning=True), "pruning"),
        (lambda: DepthSchedule(shallowest=3, deepest=2), "deepest"),
        (lambda: DepthSchedule.from_plain({"kind": "Growth", "every": 1}), "DepthSchedule"),
        (lambda: DepthSchedule.from_plain({"kind": "DepthSchedule", "growth": {"kind": "G"}}), "kind"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_refuses_what_makes_no_sense(make, message):
    with pytest.raises(SurrogateError, match=message):
        make()


def test_choices_order_positions():
    scores = [1.0, 3.0, 0.5, 3.0]
    assert Largest().order(scores, 7) == [1, 3, 0, 2]
    assert Smallest().order(scores, 7) == [2, 0, 1, 3]
    drawn = Drawn(4).order(scores, 7)
    assert drawn == Drawn(4).order(scores, 7)
    assert sorted(drawn) == [0, 1, 2, 3]
    assert len({tuple(Drawn(4).order(scores, epoch)) for epoch in range(9)}) > 3
