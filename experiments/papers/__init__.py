"""Papers and their claims, each put to an experiment: `KEY.toml` says what is claimed, `KEY.py` measures it.

`KEY.toml` (`claims.Paper`) holds the claims: statement, source, how certain that source is, what is measured and
what is expected of it; and the settings of the experiments, `[quick]` and `[full]`.  `key.py` (hyphens become
underscores) defines

    Settings                                    a pydantic model of either table of settings
    measure(settings, work) -> {claim: {case: Measured}}

and computes by `work.map` (`work.Work`): in worker processes, each experiment kept by its specification.  A paper
more is these two files, and no list.
"""

import importlib
from pathlib import Path
from types import ModuleType

from experiments.errors import StudyError
from maxwell.sentences import choice

SHIPPED = Path(__file__).parent


def known() -> list[str]:
    """Every paper there is."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def claims_file(key: str) -> Path:
    """The file of a paper's claims; StudyError names the keys there are."""
    if key not in known():
        raise StudyError(f"KEY: expected {choice(key, known())}.")
    return SHIPPED / f"{key}.toml"


def experiments_of(key: str) -> ModuleType:
    """The module that measures a paper's claims."""
    return importlib.import_module(f"experiments.papers.{key.replace('-', '_')}")
