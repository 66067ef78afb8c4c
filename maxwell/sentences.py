"""What is wrong with a table of configuration, in one sentence that begins with the path of the key."""

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable
from typing import Any

import pydantic

from maxwell.kinds import is_tag, kind_of, tag

_PLAIN = {  # pydantic's names for what TOML calls otherwise
    "model_type": "a table",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def sentence(error: pydantic.ValidationError, where: str, schema: type) -> str:
    """Say the first finding of a validation error, an unknown key before all others: the rest often follows.

    where : path of the table, "" for the whole.  schema : the dataclass or pydantic model that was being
    filled; it supplies the known keys.
    """
    findings = sorted(error.errors(), key=lambda finding: finding["type"] not in _UNKNOWN)
    finding, more = findings[0], len(findings) - 1
    path = [_on_a_line(str(part)) for part in finding["loc"]]
    if finding["type"] in _UNKNOWN:
        what = f"unknown key; expected {choice(path[-1], _keys(schema, path[:-1]))}"
    elif finding["type"] in ("missing", "missing_argument"):
        what = "missing; add it"
    elif finding["type"] == "value_error":
        what = str(finding["ctx"]["error"]).rstrip(".")
    elif finding["type"] == "union_tag_invalid":
        path.append("kind")
        given = " ".join(finding["ctx"]["tag"][1:-1].split())
        what = f"expected {choice(given, re.findall('<(.*?)>', finding['ctx']['expected_tags']))}"
    else:
        expectation = _PLAIN.get(finding["type"]) or finding["msg"].removeprefix("Input should be ")
        what = f"expected {expectation}, given {_shown(finding['input'])}"
    place = ".".join(part for part in [where, *path] if part and not is_tag(part))
    return f"{place}: {what}{f' (and {more} more)' if more else ''}." if place else f"{what}."


def choice(given: str, expected: Iterable[str]) -> str:
    """One of the expected names, with the one that was probably meant."""
    names = list(expected)
    near = difflib.get_close_matches(given, names, n=1)
    meant = f" (did you mean {near[0]}?)" if near else f", given {_shortened(_on_a_line(given))}"
    return f"one of {', '.join(names)}{meant}"


def _shown(value: Any) -> str:
    try:
        return _shortened(repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, tables nested as deep
        return f"one too long to be shown ({type(value).__name__})"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _on_a_line(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def _keys(schema: type, path: list[str]) -> list[str]:
    """Names of the fields of the (nested) dataclass or model at `path` inside `schema`."""
    members: list[type] = []
    for part in path:
        if is_tag(part):
            schema = next((member for member in members if tag(kind_of(member)) == part), schema)
            continue
        inner = _fields(schema).get(part)
        if inner is None:
            continue  # the name of an entry of a dict, whose values are the models found so far
        members = [c for c in (inner, *typing.get_args(inner)) if _fields(c)]
        schema = members[0] if members else schema
    return list(_fields(schema))


def _fields(schema: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(schema):
        hints = typing.get_type_hints(schema)
        return {f.name: hints[f.name] for f in dataclasses.fields(schema)}
    if isinstance(schema, type) and issubclass(schema, pydantic.BaseModel):
        return {name: info.annotation for name, info in schema.model_fields.items()}
    return {}
