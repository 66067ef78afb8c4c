"""Problem specifications as plain tables (TOML, JSON) and back."""

import dataclasses
import difflib
import typing
from collections.abc import Mapping

import pydantic

from maxwell.errors import MaxwellError
from maxwell.problems.conductivity import Conductivity

PROBLEMS = {"conductivity": Conductivity}
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


def sentence(error: pydantic.ValidationError, where: str, schema: type) -> str:
    """Say the first fault of a validation error in one sentence, beginning with the key's full path.

    schema : the dataclass or pydantic model that was being filled; it supplies the known keys.
    """
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join([where, *path]) if where else ".".join(path)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _keys(schema, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{name}: unknown key{hint}; expected one of {', '.join(known)}."
    if first["type"] == "value_error":
        return f"{name}: {first['ctx']['error']}"
    return f"{name} is {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}."


def _keys(schema, path):
    """Names of the fields of the (nested) dataclass or model at `path` inside `schema`."""
    for part in path:
        hint = _fields(schema).get(part)
        candidates = [hint, *getattr(hint, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and _fields(c)]
        if not nested:
            break  # a step through a list or dict: the schema stays the one found so far
        schema = nested[0]
    return sorted(_fields(schema))


def _fields(schema):
    if dataclasses.is_dataclass(schema):
        hints = typing.get_type_hints(schema)
        return {f.name: hints[f.name] for f in dataclasses.fields(schema)}
    if isinstance(schema, type) and issubclass(schema, pydantic.BaseModel):
        return {name: info.annotation for name, info in schema.model_fields.items()}
    return {}
