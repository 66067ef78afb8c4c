"""A recipe: the TOML file that says which data set to make, checked in full before any work begins.

::

    seed = 2026
    [problem]                     # handed to maxwell.problem_from
    kind = "conductivity"
    frequency = 23.9e6            # Hz
    background = 0.0425           # S/m
    parametrisation = { kind = "balls", count = 1 }
    [mesh]                        # keyword arguments of problem.discretise, for splits that name no mesh
    cells = 6
    degree = 2
    [store]
    shard = 20                    # samples a file
    [splits.train]                # every data set has this split: it sets the noise level
    samples = 500
    [splits.test]                 # a finer mesh than the training mesh: no inverse crime
    samples = 100
    mesh = { cells = 8, degree = 2 }
    [splits.test_inverse_crime]   # the parameters of another split again, on the training mesh
    samples = 100
    same_parameters_as = "test"
    inverse_crime = true          # declared, so it becomes a label and not a warning
    [splits.deep]                 # out of distribution: what differs from the problem above, key by key
    samples = 50
    mesh = { cells = 8, degree = 2 }
    problem = { prior = { kind = "ball_prior", z = [0.4, 0.5] } }

What is left out is filled in on reading, by the problem's and the discretisation's own defaults, so
that a recipe that spells out a default and one that omits it are the same recipe.
"""

import hashlib
import inspect
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic

import maxwell
from data.errors import DataError
from data.seeds import split_key
from maxwell.sentences import choice, sentence


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or value in (math.inf, -math.inf) or value != value:
        raise ValueError(f"expected a finite number, text, true or false, given {value!r}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("expected a number of at most 18 digits, given a longer one")
    return value


_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")  # of a field, as in splits.train.samples
Mesh = dict[str, Annotated[Any, pydantic.AfterValidator(_scalar)]]  # keyword arguments of problem.discretise
SHIPPED = Path(__file__).with_name("recipes")  # the recipes that come with the package


class _Spec(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Split(_Spec):
    """One named set of samples."""

    samples: Annotated[int, pydantic.Field(ge=1, le=10**9)]
    mesh: Mesh | None = None  #: ``None``: the recipe's mesh
    same_parameters_as: str | None = None  #: the split whose parameters are used again
    inverse_crime: bool = False  #: declares that the split is meant to share the training mesh
    problem: dict[str, Any] | None = None  #: what replaces keys of the recipe's problem; ``None``: nothing


class Store(_Spec):
    """How the samples are laid out in files, and what is kept besides; it changes no number of the others."""

    shard: Annotated[int, pydantic.Field(ge=1, le=10**6)] = 20  #: samples a file
    jacobian: bool = False  #: keep the derivative of the data, m p numbers a sample
    slices: Annotated[int, pydantic.Field(ge=0, le=512)] = (
        0  #: keep the unknown on 3 planes of so many points squared
    )
    fields: Annotated[int, pydantic.Field(ge=0, le=128)] = (
        0  #: keep all fields on a grid of so many points cubed
    )


class Recipe(_Spec):
    """What to generate. Made by :func:`load` or :func:`parse`, which also fill in every default."""

    seed: Annotated[int, pydantic.Field(ge=0, lt=2**64)] = 0
    problem: dict[str, Any]
    mesh: Mesh = {}
    store: Store = Store()
    splits: dict[str, Split]

    @property
    def numbers(self) -> dict[str, Any]:
        """All that determines the numbers of the data set, and nothing else.

        The size of a shard (it changes files, not samples), a declared inverse crime (a label) and the
        mesh that no split uses are left out.
        """
        splits = {
            name: {"samples": s.samples, "mesh": s.mesh, "same_parameters_as": s.same_parameters_as}
            | ({} if s.problem is None else {"problem": s.problem})
            for name, s in self.splits.items()
        }
        return {"seed": self.seed, "problem": self.problem, "splits": splits}

    @property
    def digest(self) -> str:
        """SHA-256 of :attr:`numbers` as canonical JSON: two recipes with one digest make one data set."""
        return hashlib.sha256(canonical(self.numbers).encode()).hexdigest()

    @property
    def training_mesh(self) -> Mesh:
        """The mesh of the split ``train``."""
        return self.splits["train"].mesh

    def parameters_of(self, split: str) -> str:
        """The split whose seeds give the parameters of ``split``."""
        return self.splits[split].same_parameters_as or split

    def problem_of(self, split: str) -> dict[str, Any]:
        """The problem of a split, as plain data."""
        own = self.splits[split].problem
        return self.problem if own is None else own

    def undeclared_inverse_crimes(self) -> list[str]:
        """Splits for evaluation that share the training mesh although the recipe does not say so."""
        return [
            name
            for name, s in self.splits.items()
            if name not in ("train", "valid") and s.mesh == self.training_mesh and not s.inverse_crime
        ]


def canonical(value: Any) -> str:
    """The one JSON text of plain data: sorted keys, no spaces, shortest floats, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    ``path`` is a TOML file or the name of a recipe that comes with the package (``"demo"``).
    ``overrides`` maps config paths to values, as in ``{"splits.train.samples": 20}``; see :func:`assignments`.

    Raises :class:`DataError` for a missing or broken file, an unknown key, a wrong type and anything
    that the problem or its discretisation refuses, naming the file and the config path.
    """
    file = _locate(path)
    try:
        mapping = _toml(file.read_text("utf-8"), str(file))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); give a readable TOML file.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file}: is not UTF-8 text, as a TOML recipe must be.") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file}: is not valid TOML: {str(error).rstrip('.')}.") from None
    return parse(_override(mapping, overrides or {}), str(file))


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """The overrides that are written as texts, as in ``"splits.train.samples=20"``; a later one counts.

    A value is TOML, and what is not TOML is text: ``mesh.cell=hexahedron`` needs no quotes.

    Raises :class:`DataError` for a text that is not one path, ``=`` and one value, and for a value that the
    interpreter cannot hold.
    """
    found = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not (equals and _PATH.fullmatch(path := path.strip())):
            raise DataError(f"override {_short(text)}: expected KEY=VALUE, as in splits.train.samples=20.")
        try:
            table = _toml(f"value = {value}", f"override {path}")
        except tomllib.TOMLDecodeError:
            table = {"value": value.strip()}
        if len(table) > 1:
            raise DataError(f"override {_short(text)}: holds more than one value; give an override for each.")
        found[path] = table["value"]
    return found


def parse(mapping: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """Check a recipe given as plain data and fill in its defaults; ``source`` opens every message."""
    try:
        recipe = Recipe.model_validate(dict(mapping))
        _check_splits(recipe)
        return _resolve(recipe)
    except pydantic.ValidationError as error:
        raise DataError(f"{source}: {sentence(error, '', Recipe)}") from None
    except (DataError, maxwell.MaxwellError) as error:  # a table's key may hold a line's end
        told = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error))
        raise DataError(f"{source}: {told}") from None
    except RecursionError:
        raise DataError(f"{source}: holds tables nested too deep to be read; no field is.") from None


def _toml(text: str, source: str) -> dict[str, Any]:
    """The table of a TOML text; besides ``TOMLDecodeError``, :class:`DataError` for what Python cannot hold."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError):  # what tomllib passes on from the interpreter's own limits
        raise DataError(
            f"{source}: is not valid TOML: a number of thousands of digits, or tables nested as deep."
        ) from None


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _locate(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise DataError(f"recipe: expected the path of a TOML file or a recipe's name, given {_short(path)}.")
    file, shipped = Path(path), {f.stem: f for f in sorted(SHIPPED.glob("*.toml"))}
    try:
        there = file.exists()
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise DataError(
            f"recipe {_short(str(path))}: cannot be read ({error.strerror}); give a TOML file or one of "
            f"{', '.join(shipped)}."
        ) from None
    if not there and str(path) in shipped:
        return shipped[str(path)]
    if not there:
        raise DataError(f"{file}: no such recipe; give a TOML file or one of {', '.join(shipped)}.")
    return file


def _override(mapping: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(overrides, Mapping):
        raise DataError(
            f"overrides: expected a mapping of paths to values, given {_short(overrides)}; recipe.assignments "
            "makes one of texts."
        )
    for path, value in overrides.items():
        if not isinstance(path, str):
            raise DataError(f"override {_short(path)}: expected a path such as 'splits.train.samples'.")
        *parents, last = path.split(".")
        table = mapping
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise DataError(f"override {path}: {parent} is a value, not a table; give its own path.")
        table[last] = value
    return mapping


def _check_splits(recipe: Recipe) -> None:
    keys: dict[int, str] = {}
    for name, split in recipe.splits.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise DataError(
                f"splits.{name}: a split's name is letters, digits and _, and begins with a letter."
            )
        twin = keys.setdefault(split_key(name), name)
        if twin != name:
            raise DataError(
                f"splits.{name}: has the same seeds as splits.{twin} by an accident of the name; "
                "choose another name."
            )
        if (other := split.same_parameters_as) is None:
            continue
        where = f"splits.{name}.same_parameters_as"
        others = [n for n, s in recipe.splits.items() if n != name and s.same_parameters_as is None]
        if other not in others:
            raise DataError(f"{where}: expected a split with parameters of its own, {choice(other, others)}.")
        if recipe.splits[other].problem != split.problem:
            raise DataError(
                f"{where}: {other} has another problem, so its parameters mean something else; give both splits "
                "the same problem, or this one parameters of its own."
            )
        if recipe.splits[other].samples < split.samples:
            raise DataError(
                f"{where}: {other} has {recipe.splits[other].samples} samples, fewer than the "
                f"{split.samples} of {name}; ask for no more than there are."
            )
    if "train" not in recipe.splits:
        raise DataError(
            "splits: there is no split named train, which sets the noise level; add [splits.train]."
        )


def _resolve(recipe: Recipe) -> Recipe:
    problem = maxwell.problem_from(recipe.problem, where="problem")
    spec = _plain(problem, "problem")
    mesh = _full_mesh(problem, recipe.mesh, "mesh")
    splits = {}
    for name, split in recipe.splits.items():
        where, own, own_spec = f"splits.{name}", problem, None
        if split.problem is not None:
            if split.problem.get("kind", spec["kind"]) != spec["kind"]:
                raise DataError(
                    f"{where}.problem.kind: expected {spec['kind']!r}, as in [problem]; leave it out."
                )
            own = maxwell.problem_from(_merged(recipe.problem, split.problem), where=f"{where}.problem")
            own_spec = _plain(own, f"{where}.problem")
            own_spec = None if own_spec == spec else own_spec
        own_mesh = mesh if split.mesh is None else _full_mesh(own, split.mesh, f"{where}.mesh")
        splits[name] = split.model_copy(update={"mesh": own_mesh, "problem": own_spec})
    if splits["train"].problem is not None:
        raise DataError("splits.train.problem: the problem of the training split is [problem]; change that.")
    for name, split in splits.items():
        if split.inverse_crime and split.mesh != splits["train"].mesh:
            raise DataError(
                f"splits.{name}.inverse_crime: declared, but its mesh differs from that of "
                "splits.train; remove the declaration or the mesh."
            )
    return recipe.model_copy(update={"problem": spec, "mesh": mesh, "splits": splits})


def _plain(problem: Any, where: str) -> dict[str, Any]:
    """The problem's own table, as it will be read back: lists for tuples."""
    try:
        return json.loads(canonical(problem.spec()))
    except ValueError:
        raise DataError(f"{where}: holds a number that is not finite; give a finite one.") from None


def _merged(table: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The table with the changes, key by key, tables within tables too; one of another kind replaces its like."""
    merged = dict(table)
    for key, value in changes.items():
        old = merged.get(key)
        alike = (
            isinstance(old, Mapping)
            and isinstance(value, Mapping)
            and len({table["kind"] for table in (old, value) if isinstance(table.get("kind"), str)}) < 2
        )
        merged[key] = _merged(old, value) if alike else value
    return merged


def _full_mesh(problem: Any, mesh: Mesh, where: str) -> Mesh:
    """The keyword arguments of ``problem.discretise``, checked by name, with its defaults filled in."""
    signature = inspect.signature(problem.discretise)
    # What has no plain default (ranks, a solver's recipe) is a matter of the run and not of the mesh.
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.default, bool | int | float | str)
    }
    for key in mesh:
        if key not in defaults:
            raise DataError(f"{where}.{key}: unknown key; expected {choice(key, defaults)}.")
    full = {}
    for key, value in {**defaults, **mesh}.items():
        whole = type(value) is int and isinstance(defaults[key], float)
        full[key] = float(value) if whole else value  # 0 and 0.0 are one mesh
    return full
