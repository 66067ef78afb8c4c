"""Small files of a study: JSON, TOML and text that is either whole or absent."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from experiments.errors import StudyError
from maxwell.sentences import sentence


def write_text(path: Path, text: str) -> None:
    """Write text so that, whenever the process is killed, the file is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write plain data as JSON, whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, what: str, mend: str) -> Any:
    """Read a JSON file; StudyError says that `what` is missing or damaged, and the mend."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise StudyError(f"{path}: there is no {what} here; {mend}.") from None
    except (ValueError, OSError) as error:
        raise StudyError(f"{path}: cannot be read as {what} ({error}); {mend}.") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; StudyError if it is missing or broken."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file; give the path of a TOML file.") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read as TOML ({error}); mend or replace it.") from None


def validated[Model: pydantic.BaseModel](schema: type[Model], table: Mapping[str, Any], where: str) -> Model:
    """Fill a pydantic model from a table; StudyError is one sentence that begins with `where` and the key."""
    try:
        return schema.model_validate(dict(table))
    except pydantic.ValidationError as error:
        raise StudyError(sentence(error, where, schema)) from None
