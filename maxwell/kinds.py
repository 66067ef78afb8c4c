"""One field of a specification that may be one of several classes, told apart in a table by `kind`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Union

import pydantic


def one_of(*members: type) -> Any:
    """The type "one of these dataclasses", each with a field `kind` whose default names it.

    A table (TOML, JSON) chooses by its `kind`; one without it is of the first member, so that a field that
    gains alternatives still reads the tables written before.  A validation error then speaks of the member
    that was chosen alone.
    """
    named = {kind_of(member): member for member in members}
    first = next(iter(named))

    def chosen(value) -> str:
        kind = value.get("kind", first) if isinstance(value, Mapping) else getattr(value, "kind", first)
        return tag(kind)

    union = Union[tuple(Annotated[member, pydantic.Tag(tag(kind))] for kind, member in named.items())]  # noqa: UP007
    return Annotated[union, pydantic.Discriminator(chosen)]


def number_or_several() -> Any:
    """The type "a float, or a tuple of floats", which a table writes as a number or as a list."""
    one = Annotated[float, pydantic.Tag(tag("one"))]
    several = Annotated[tuple[float, ...], pydantic.Tag(tag("several"))]

    def chosen(value) -> str:
        return tag("several" if isinstance(value, list | tuple) else "one")

    return Annotated[one | several, pydantic.Discriminator(chosen)]


def kind_of(member: type) -> str:
    """The name by which a table chooses a dataclass; "" if it has none."""
    return next((f.default for f in fields(member) if f.name == "kind"), "")


def tag(kind: Any) -> str:
    """How a choice stands in the path of a validation error: in angle brackets, as no key of a table is."""
    return f"<{kind}>"


def is_tag(part: Any) -> bool:
    """Whether a part of the path of a validation error is a choice and no key."""
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")
