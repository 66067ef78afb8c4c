"""Observations of a user: the same numbers from every layout, and one sentence for everything else."""

import h5py
import numpy as np
import pytest

from data import DataError
from data.observations import Expected, checked, read, write

WIDTH = 4
COMPLEX = Expected(WIDTH, True, "V/m")
REAL = Expected(WIDTH, False, "T")
RNG = np.random.default_rng(0)
D = RNG.standard_normal((3, WIDTH)) + 1j * RNG.standard_normal((3, WIDTH))


def hdf5(path, name="observations", values=D, **attributes):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values).attrs.update(attributes)
    return path


def csv(path, header, rows, delimiter=","):
    path.write_text("\n".join([header, *(delimiter.join(map(str, row)) for row in rows)]) + "\n")
    return path


def numpy(path, values):
    np.save(path, values)
    return path


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


PAIRS = "re_0,im_0,re_1,im_1,re_2,im_2,re_3,im_3"
AS_PAIRS = D.view(float).tolist()
BLOCKS = np.concatenate([D.imag, D.real], axis=1).tolist()
NAMED = [f"{part}_{k} [V/m]" for part in ("im", "re") for k in range(WIDTH)]

LAYOUTS = {
    "hdf5": lambda p: (hdf5(p / "a.h5"), None),
    "hdf5 with its unit": lambda p: (hdf5(p / "a.hdf5", unit="V/m"), None),
    "hdf5 by name": lambda p: (hdf5(p / "a.h5", "day 2/mine"), "day 2/mine"),
    "hdf5 by group": lambda p: (hdf5(p / "a.h5", "day 2/observations"), "day 2"),
    "npy": lambda p: (numpy(p / "a.npy", D), None),
    "npz": lambda p: (archive(p / "a.npz", observations=D, others=D[:1]), None),
    "npz of one array": lambda p: (archive(p / "a.npz", mine=D), None),
    "npz by name": lambda p: (archive(p / "a.npz", mine=D, others=D[:1]), "mine"),
    "pairs": lambda p: (csv(p / "a.csv", PAIRS, AS_PAIRS), None),
    "blocks with units and semicolons": lambda p: (csv(p / "a.csv", ";".join(NAMED), BLOCKS, ";"), None),
    "complex entries": lambda p: (csv(p / "a.CSV", "a,b,c,d", D.tolist()), None),
    "entries with i and spaces": lambda p: (
        csv(p / "a.csv", "a,b,c,d", [[f"{z.real} {z.imag:+}i" for z in row] for row in D.tolist()]),
        None,
    ),
    "header behind #": lambda p: (csv(p / "a.csv", "# of the lab\n# " + PAIRS, AS_PAIRS), None),
    "comments and empty lines": lambda p: (
        csv(p / "a.csv", "# of the lab\n\n" + PAIRS + "\n# first", AS_PAIRS),
        None,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_numbers(layout, tmp_path):
    file, dataset = LAYOUTS[layout](tmp_path)
    found = read(file, COMPLEX, dataset)
    np.testing.assert_array_equal(found, D)
    assert found.dtype == np.complex128


def test_one_sample_may_be_an_array_without_rows(tmp_path):
    np.testing.assert_array_equal(read(numpy(tmp_path / "a.npy", D[0]), COMPLEX), D[:1])


def test_real_data_stay_real(tmp_path):
    for file in (
        numpy(tmp_path / "a.npy", D.real),
        numpy(tmp_path / "b.npy", D.real + 0j),
        csv(tmp_path / "a.csv", "Bx [T],By [T],Bz [T],Bt", D.real.tolist()),
    ):
        found = read(file, REAL)
        np.testing.assert_array_equal(found, D.real)
        assert found.dtype == np.float64


def spoilt(value):
    values = D.copy()
    values[1, 2] = value
    return values


MISTAKES = {
    "missing": (lambda p: p / "nothing.h5", "no such file"),
    "folder": (lambda p: p, "holds no data set"),
    "unknown suffix": (lambda p: csv(p / "a.txt", PAIRS, AS_PAIRS), r"\(.txt\); expected one of .h5"),
    "empty": (lambda p: csv(p / "a.csv", "", []).write_text("") or p / "a.csv", "is empty"),
    "header alone": (lambda p: csv(p / "a.csv", PAIRS, []), "holds no sample"),
    "no row": (lambda p: numpy(p / "a.npy", D[:0]), "holds no sample"),
    "no hdf5": (lambda p: csv(p / "a.h5", PAIRS, AS_PAIRS), "cannot be read as HDF5"),
    "cut hdf5": (lambda p: _cut(hdf5(p / "a.h5")), "cannot be read as HDF5"),
    "cut npy": (lambda p: _cut(numpy(p / "a.npy", D)), "cannot be read as a NumPy file"),
    "cut npz": (lambda p: _cut(archive(p / "a.npz", observations=D)), "cannot be read as a NumPy file"),
    "objects": (lambda p: numpy(p / "a.npy", np.array([{}, None])), "cannot be read as a NumPy file"),
    "another name": (
        lambda p: hdf5(p / "a.h5", "day/observation"),
        "no dataset 'observations'; .*day/observation",
    ),
    "no array of that name": (lambda p: archive(p / "a.npz", a=D, b=D), "has no array 'observations'"),
    "unit": (lambda p: hdf5(p / "a.h5", unit="mV/m"), "observations: is in mV/m, and training was in V/m"),
    "unit of a column": (
        lambda p: csv(p / "a.csv", PAIRS.replace("im_2", "im_2 [mV/m]"), AS_PAIRS),
        r"column im_2 \[mV/m\]: is in mV/m",
    ),
    "text in hdf5": (lambda p: hdf5(p / "a.h5", values=[["a"] * WIDTH]), "not numbers"),
    "text in npy": (lambda p: numpy(p / "a.npy", np.array([["a"] * WIDTH])), "not numbers"),
    "width": (lambda p: numpy(p / "a.npy", D[:, :3]), r"has shape \(3, 3\); expected \(n, 4\)"),
    "transposed": (lambda p: numpy(p / "a.npy", D.T), "looks transposed"),
    "parts side by side": (lambda p: numpy(p / "a.npy", D.view(float)), "twice as many real columns"),
    "cube": (lambda p: numpy(p / "a.npy", D[None]), r"has shape \(1, 3, 4\)"),
    "real": (lambda p: numpy(p / "a.npy", D.real), "real and those of training complex"),
    "nan": (lambda p: numpy(p / "a.npy", spoilt(np.nan)), r"row 1, column 2 \(counted from 0\) is .*nan"),
    "infinity": (
        lambda p: hdf5(p / "a.h5", values=spoilt(np.inf)),
        r"row 1, column 2 \(counted from 0\) is .*inf",
    ),
    "nan in csv": (
        lambda p: csv(p / "a.csv", PAIRS, spoilt(np.nan).view(float).tolist()),
        "line 3, column re_2 or im_2 is",
    ),
    "no header": (lambda p: csv(p / "a.csv", "1,2,3,4", D.tolist()), "has no header"),
    "too few columns": (
        lambda p: csv(p / "a.csv", "a,b", [[1, 2]]),
        r"has 2 columns \(a, b\); expected 4 of complex entries .* or 8 named",
    ),
    "a pair is missing": (lambda p: csv(p / "a.csv", "re_0,im_0", [[1, 2]]), "re_1 is missing"),
    "a pair too many": (
        lambda p: csv(p / "a.csv", PAIRS + ",re_4,im_4", [[*row, 1, 2] for row in AS_PAIRS]),
        "there are 10 columns",
    ),
    "a column twice": (
        lambda p: csv(p / "a.csv", PAIRS.replace("im_3", "re_0"), AS_PAIRS),
        "two columns re_0",
    ),
    "short line": (lambda p: csv(p / "a.csv", PAIRS, [AS_PAIRS[0], AS_PAIRS[1][:5]]), "line 3 has 5 entries"),
    "text in csv": (
        lambda p: csv(p / "a.csv", PAIRS, [[*AS_PAIRS[0][:7], "hello"]]),
        "line 2, column im_3 is 'hello'",
    ),
    "not utf-8": (lambda p: _latin(p / "a.csv"), "CSV in UTF-8"),
}


def _cut(file):
    file.write_bytes(file.read_bytes()[:-50])
    return file


def _latin(file):
    file.write_bytes("größe,b,c,d\n1,2,3,4\n".encode("latin-1"))
    return file


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_that_names_the_file(mistake, tmp_path):
    make, said = MISTAKES[mistake]
    file = make(tmp_path)
    with pytest.raises(DataError, match=said) as error:
        read(file, COMPLEX)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_name_is_for_files_that_hold_several(tmp_path):
    with pytest.raises(DataError, match="leave 'mine' out"):
        read(numpy(tmp_path / "a.npy", D), COMPLEX, "mine")


def test_complex_numbers_are_refused_where_training_had_real_ones(tmp_path):
    with pytest.raises(DataError, match=r"row 0, column 0 .* the data of training are real"):
        read(numpy(tmp_path / "a.npy", D), REAL)


def test_numbers_that_fit_are_left_as_they_are():
    assert checked(D, COMPLEX, "there").tobytes() == D.tobytes()


def test_results_come_back_and_a_failure_leaves_the_old_file(tmp_path):
    file = tmp_path / "deep" / "out.h5"
    write(
        file,
        {"z": D, "names": np.array(["a", "σ"]), "yes": np.array([True])},
        {"model": "here", "noise": 0.5},
    )
    with pytest.raises(TypeError):
        write(file, {"z": D}, {"bad": object()})
    assert [path.name for path in file.parent.iterdir()] == ["out.h5"]
    with h5py.File(file) as found:
        np.testing.assert_array_equal(found["z"][...], D)
        assert found["names"].asstr()[...].tolist() == ["a", "σ"]
        assert found["yes"][...].tolist() == [True]
        assert dict(found.attrs) == {"model": "here", "noise": 0.5}
