"""Every paper that ships: its claims are whole, and both its settings fit its experiments."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from experiments import papers
from experiments.papers.claims import load
from experiments.papers.reproduction import reproduce, settings_of

KEYS = papers.known()

TINY = {
    "time-variable": {
        "seeds": 2,
        "together": 1,
        "targets": ("sine",),
        "layers": 2,
        "horizons": (1.0, 4.0),
        "depths": {"resnet": (2,), "fractional": (2, 3)},
        "bad_layers": {"resnet": 2},
    },
    "fractional": {
        "seeds": 2,
        "together": 2,
        "depths": (2, 3),
        "bad_layers": 2,
        "horizons": (1.0, 4.0),
        "layers": 2,
        "targets": ("peaks", "step", "star"),
    },
}
"""Settings under which every experiment of a paper runs in seconds and means nothing."""


def tiny(key):
    """The quick settings with those above, and networks that hardly train."""
    settings = settings_of(key, "quick")
    short = {
        name: value.model_copy(update={"epochs": 1, "width": 4, "points": 40})
        for name, value in settings
        if hasattr(value, "epochs")
    }
    return settings.model_copy(update=TINY[key] | short)


@pytest.mark.parametrize("key", KEYS)
def test_the_file_of_claims_is_whole(key):
    paper = load(papers.claims_file(key))
    assert paper.claims
    for size in ("quick", "full"):
        assert settings_of(key, size)


@pytest.mark.parametrize("key", ["time-variable", "fractional"])
def test_the_full_settings_have_ten_seeds(key):
    assert settings_of(key, "quick").seeds >= 3
    assert settings_of(key, "full").seeds >= 10


@pytest.mark.parametrize("key", TINY)
def test_every_claim_is_measured_and_a_second_run_is_the_same(key, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        once = reproduce(key, tmp_path, pool, settings=tiny(key))
        stamps = {file: file.stat().st_mtime_ns for file in tmp_path.glob("experiments/*/result.json")}
        again = reproduce(key, tmp_path, pool, settings=tiny(key))
    assert set(once["claims"]) == set(load(papers.claims_file(key)).claims)
    assert again["claims"] == once["claims"]
    assert once["pictures"] == ["gradients.png", "verdicts.png"]
    assert stamps == {file: file.stat().st_mtime_ns for file in tmp_path.glob("experiments/*/result.json")}
    cases = [case for claim in once["claims"].values() for case in claim["cases"].values()]
    assert all(case["count"] == 2 for case in cases if not case["note"])
