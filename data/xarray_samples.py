"""Samples as labelled arrays: what each row, column and number is stands beside it."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np

import maxwell
from data import schema
from data.errors import DataError
from data.reader import Dataset
from data.recipe import canonical
from data.samples import inside

if TYPE_CHECKING:
    import xarray

_AXES = {
    "p": "parameter",
    "m": "observation",
    "q": "plane",
    "c": "image_component",
    "s": "field_source",
    "3": "axis",
}
_GRIDS = {"slices": ("row", "column"), "fields": ("x", "y", "z")}  # the names of axes k and g


def labelled(samples: Dataset, noise: float = 0.0, draw: int = 0, kind: str = "white") -> "xarray.Dataset":
    """The samples of a view as an ``xarray.Dataset``, all of it read.

    Dimensions: ``sample``, ``parameter``, ``observation``.
    Variables: ``parameters``, ``observations`` (with the noise of :meth:`data.reader.Dataset.observe`), the
    solver's records, and the extras that the data set keeps.
    Coordinates: of a sample its ``split``, ``index`` and ``seed``; of a parameter its name, ``unit`` and ``group``;
    of an observation each label (``source``), and what the label's number stands for (``source_x`` in m, ...); of
    fields ``x``, ``y``, ``z`` in m.
    Attributes, plain text and numbers so that any file format takes them: ``problem`` (JSON, for
    ``maxwell.problem_from``), ``problems_of_splits`` (JSON, where a split has its own), ``recipe`` and ``versions``
    (JSON), ``digest``, ``commit``, ``date``, ``time_convention``, ``noise``, ``noise_kind``, ``noise_draw``,
    of white noise ``noise_reference`` (RMS of the training data), and ``failed``: how many samples could not be
    solved and are left out.

    Raises :class:`DataError` without xarray, for splits whose parameters or observations are not the same
    quantities, and whatever reading raises.
    """
    try:
        import xarray
    except ImportError:
        raise DataError(
            "to_xarray needs xarray, which is not installed: install the extra, as in "
            "`pip install 'maxwell-inverse[xarray]'`."
        ) from None
    manifest = samples.manifest
    problems = {name: manifest.problem(name) for name in samples.splits}
    first, *others = problems.values()
    for other in others:
        if (other.parameters, other.observations) != (first.parameters, first.observations):
            raise DataError(
                f"{samples.path}: the splits {', '.join(samples.splits)} have different parameters or surveys; "
                f"ask one, as in ds.split({samples.splits[0]!r}).to_xarray()."
            )
    variables = {
        "parameters": (
            ("sample", "parameter"),
            samples.parameters,
            {"long_name": "parameters of each sample"},
        ),
        "observations": (
            ("sample", "observation"),
            samples.observe(noise, draw, kind),
            {"long_name": "observations", "units": first.observations.unit},
        ),
    }
    about = {array.name: array for array in schema.ARRAYS}
    for name, values in samples.records.items():
        variables[name] = (
            "sample",
            values.astype(object) if values.dtype.kind in "UT" else values,
            _said(about[name]),
        )
    for name in samples.extras:
        variables[name] = (_dimensions(name), samples.extra(name), _said(schema.EXTRAS[name], first))
    made = xarray.Dataset(variables, _coordinates(samples, first), _attributes(samples, problems))
    made.attrs |= {"noise": float(noise), "noise_draw": int(draw), "noise_kind": kind}
    if noise and kind == "white":
        made.attrs["noise_reference"] = samples.noise_reference
    return made


def _coordinates(samples: Dataset, problem: schema.Problem) -> dict[str, Any]:
    coordinates = {
        "split": ("sample", samples.split_names.astype(object), {"long_name": "split of the sample"}),
        "index": ("sample", samples.indices, {"long_name": "index of the sample within its split"}),
        "seed": ("sample", samples.seeds, {"long_name": "seed of the sample"}),
        "parameter": [p.name for p in problem.parameters],
        "unit": ("parameter", np.array([p.unit for p in problem.parameters], dtype=object)),
        "group": ("parameter", np.array([p.group for p in problem.parameters], dtype=object)),
    }
    for label, of_each in problem.observations.labels.items():
        table = problem.observations.tables[label]
        coordinates[label] = ("observation", np.array(of_each), {"long_name": table.description})
        for name, column in table.columns.items():
            values = np.array(column.values)[of_each]
            coordinates[f"{label}_{name}"] = ("observation", values, {"units": column.unit})
    if "fields" in samples.extras:
        points = samples.manifest.recipe.store.fields
        for axis, low, high in zip("xyz", *maxwell.problem_from(problem.spec).region, strict=True):
            coordinates[axis] = (axis, inside(low, high, points), {"units": "m"})
        coordinates["axis"] = list("xyz")
    return coordinates


def _attributes(samples: Dataset, problems: dict[str, schema.Problem]) -> dict[str, Any]:
    manifest, first = samples.manifest, next(iter(problems.values()))
    other = {name: problem.spec for name, problem in problems.items() if problem.spec != first.spec}
    provenance = manifest.provenance
    return {
        "title": f"{manifest.format}, version {manifest.version}",
        "digest": manifest.digest,
        "problem": canonical(first.spec),
        **({"problems_of_splits": canonical(other)} if other else {}),
        "recipe": json.dumps(manifest.recipe.model_dump(mode="json")),
        "versions": canonical(provenance.get("versions", {})),
        "commit": provenance.get("commit") or "",
        "date": provenance.get("date", ""),
        "time_convention": manifest.time_convention,
        "failed": samples.failed,
    }


def _dimensions(name: str) -> tuple[str, ...]:
    grid = iter(_GRIDS.get(name, ()))
    shape = schema.EXTRAS[name].shape[1:]
    return "sample", *(next(grid) if letter in "kg" else _AXES[letter] for letter in shape)


def _said(array: schema.Array, problem: schema.Problem | None = None) -> dict[str, str]:
    """Description and unit of an array; of extras the unit is the problem's."""
    said = {"long_name": array.description, "units": array.unit}
    if problem is not None and array.name in ("slices", "fields"):
        quantity = problem.image if array.name == "slices" else problem.field
        said |= {"quantity": quantity.name, "units": quantity.unit}
    return said
