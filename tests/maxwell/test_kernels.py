"""The compiled loops equal numpy's and scipy's slow twins."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from maxwell.paths import kernels
from maxwell.paths.kernels import Sparse

rng = np.random.default_rng(3)


def complex_array(*shape, dtype=complex):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 83])
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_cut_is_the_symmetric_submatrix_of_a_symmetric_matrix(size, dtype):
    matrix = complex_array(100, 100).astype(dtype) if dtype.startswith("c") else rng.normal(size=(100, 100))
    matrix = matrix + matrix.T
    rows = np.sort(rng.permutation(100)[:size])
    expected = matrix[np.ix_(rows, rows)]
    out = np.full((size, size), 7, dtype)
    kernels.cut(matrix, rows, out)
    assert np.array_equal(out, expected)


def test_summed_products_are_an_einsum_and_write_over_what_was_there():
    products, cells = rng.normal(size=(9, 4, 5)), np.array([7, 0, 3])
    coefficient = rng.normal(size=(3, 4))
    coefficient[1] = 0
    out = np.full((3, 5), np.nan)
    kernels.summed_products(cells, coefficient, products, out)
    expected = np.einsum("cq,cqk->ck", coefficient, products[cells])
    assert np.allclose(out, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (8, 12), (12, 30)])
def test_blocks_are_summed_where_they_overlap(height, width):
    rows = np.array([rng.permutation(height)[:3] for _ in range(11)])
    columns = np.array([rng.permutation(width)[:5] for _ in range(11)])
    blocks = rng.normal(size=(11, 3, 5))
    expected = np.zeros((height, width))
    for r, c, b in zip(rows, columns, blocks, strict=True):
        np.add.at(expected, (r[:, None], c[None, :]), b)
    matrix = Sparse.of_blocks(rows, columns, blocks, (height, width))
    assert np.allclose(matrix.toarray(), expected, atol=1e-14)
    for i in range(height):  # no entry twice
        columns_of_row = matrix.columns[matrix.starts[i] : matrix.starts[i + 1]]
        assert len(set(columns_of_row.tolist())) == len(columns_of_row)


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("columns", [1, 7, 32])
def test_products_are_those_of_the_dense_matrix(real, columns):
    dense = sp.random_array((14, 9), density=0.4, rng=rng).astype(real)
    place = np.arange(9, dtype=np.int32)
    matrix = Sparse.rows_of(dense.tocsr(), np.arange(14), place, 9)
    x = complex_array(9, columns, dtype=np.result_type(real, np.complex64))
    y = complex_array(14, columns, dtype=x.dtype)
    tolerance = 10 * np.finfo(real).eps
    assert np.allclose(matrix @ x, dense.toarray() @ x, rtol=tolerance, atol=tolerance)
    assert np.allclose(matrix.transposed_times(y), dense.toarray().T @ y, rtol=tolerance, atol=tolerance)
    assert np.allclose(matrix @ x.real.copy(), dense.toarray() @ x.real, rtol=tolerance, atol=tolerance)


def test_rows_of_a_matrix_with_its_columns_renumbered():
    whole = sp.random_array((20, 30), density=0.2, rng=rng).tocsr()
    rows = np.array([2, 3, 11, 19])
    kept = np.unique(whole[rows].indices)
    place = np.full(30, -1, np.int32)
    place[kept] = np.arange(len(kept))
    matrix = Sparse.rows_of(whole, rows, place, len(kept))
    assert np.array_equal(matrix.toarray(), whole[rows][:, kept].toarray())
    assert matrix.astype(np.float32).values.dtype == np.float32


def test_products_keep_what_is_not_finite():
    matrix = Sparse.of_blocks(np.array([[0]]), np.array([[0]]), np.array([[[1.0]]]), (1, 1))
    assert np.isnan(matrix @ np.array([[np.nan]])).all()
    assert np.isinf(matrix @ np.array([[np.inf]])).all()


def test_an_entry_without_a_place_is_refused():
    whole = sp.csr_array(np.eye(3))
    with pytest.raises(ValueError, match="has no place"):
        Sparse.rows_of(whole, np.array([0, 2]), np.array([0, -1, -1], np.int32), 1)


def test_loops_compile_where_nothing_can_be_kept(monkeypatch):
    njit = kernels.numba.njit

    def without_folder(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(kernels.numba, "njit", without_folder)
    assert kernels.compiled(lambda x: x + 1)(1) == 2


@pytest.mark.parametrize("first", ["maxwell.fenicsx", "numba, maxwell.fenicsx", "h5py, maxwell.fenicsx"])
def test_h5py_keeps_its_own_hdf5_beside_the_finite_elements_and_numba(first):
    script = f"import {first}, maxwell.paths, h5py; h5py.File.in_memory(); import dolfinx.fem.petsc"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
