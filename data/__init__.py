"""Data sets of forward samples: made from a recipe, kept in write-once files, read with noise added.

>>> import data
>>> ds = data.generate("data/recipes/demo.toml", "out/demo", workers=2)  # resumes by itself
>>> ds = data.open("out/demo")
>>> train = ds.split("train")
>>> train.parameters.shape, train.observe(noise=0.01).shape

Only this package touches HDF5. The format is described in :mod:`data.schema` and :mod:`data.shard`, the law of
the random numbers in :mod:`data.seeds`, the recipe in :mod:`data.recipe`.
"""

from data import recipe, transforms
from data.errors import DataError
from data.findings import Finding
from data.generate import FailedSamplesWarning, generate
from data.locks import Part
from data.progress import Progress
from data.reader import Dataset, InverseCrimeWarning, open
from data.recipe import Recipe
from data.validate import Checked, validate

__all__ = [
    "Checked",
    "DataError",
    "Dataset",
    "FailedSamplesWarning",
    "Finding",
    "InverseCrimeWarning",
    "Part",
    "Progress",
    "Recipe",
    "generate",
    "open",
    "recipe",
    "transforms",
    "validate",
]
