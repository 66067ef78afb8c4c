"""What one problem has that another has not, in words."""

from typing import Any


def changes(there: Any, here: Any, path: str = "") -> list[str]:
    """What `here` has instead of `there`, key by key: ``["prior.z [0.3, 0.45] instead of [0.5, 0.78]"]``.

    there, here : plain data, such as the specs of two problems.  A table of another kind is told as a whole.
    """
    if there == here:
        return []
    if isinstance(there, dict) and isinstance(here, dict) and there.get("kind") == here.get("kind"):
        keys = [*here, *(key for key in there if key not in here)]
        return [
            line
            for key in keys
            for line in changes(there.get(key), here.get(key), f"{path}.{key}".strip("."))
        ]
    if isinstance(here, dict):
        values = ", ".join(f"{key} {value}" for key, value in here.items() if not isinstance(value, dict))
        return [f"{path}: {values}"]
    return [f"{path} {here} instead of {there}"]
