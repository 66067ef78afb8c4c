"""Problem specifications as plain tables (TOML, JSON) and back."""

from collections.abc import Mapping

import pydantic

from maxwell.errors import MaxwellError
from maxwell.problems.cauchy import Cauchy
from maxwell.problems.conductivity import Conductivity
from maxwell.problems.magnetisation import Magnetisation
from maxwell.sentences import sentence

PROBLEMS = {"cauchy": Cauchy, "conductivity": Conductivity, "magnetisation": Magnetisation}
"""Every problem that a table can name by its `kind`."""


def problem_from(table: Mapping, where: str = "problem"):
    """Build the frozen problem that a plain table describes.

    table : mapping with a `kind` from `PROBLEMS` and any fields of that problem; missing ones take
        their defaults.  where : path that error messages start with.

    `problem_from(problem.spec()) == problem`.  Raises MaxwellError, one sentence, with the path of the key.
    """
    if not isinstance(table, Mapping):
        raise MaxwellError(f"{where} is {table!r}; expected a table with a kind, one of {sorted(PROBLEMS)}.")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in PROBLEMS:
        raise MaxwellError(f"{where}.kind is {kind!r}; expected one of {sorted(PROBLEMS)}.")
    try:
        return pydantic.TypeAdapter(PROBLEMS[kind]).validate_python(dict(table))
    except pydantic.ValidationError as error:
        raise MaxwellError(sentence(error, where, PROBLEMS[kind])) from None
