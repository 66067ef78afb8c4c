"""The conductivity problem in NGSolve, written from its equations alone: a program in a process of its own.

    python ngsolve_conductivity.py REQUEST.json RESULT.npz

In Ω = (0, 1 m)³, e^{+iωt}, κ = ω/c and σ(x) = σ0 exp(Σ_b q_b S((R_b + w/2 − |x − c_b|)/w)):

    (curl E, curl v) − ((κ² ε_r − iκ σ Z0) E, v) + iκ ⟨E_T, v_T⟩_∂Ω = −iκ Z0 ∫_top g̃_s p_s·v   for all v.

Nothing is taken from the package `maxwell`: constants, coefficient, patches, elements (hierarchical H(curl)
of any order, interior unknowns condensed), quadrature, factorisation (sparsecholesky) are NGSolve's or stand
here.  The request is a table of

    frequency (Hz), background (S/m), permittivity, width (m), side, first, last, deviation (patches, m),
    balls : list of samples, each a list of (x, y, z, R, q);
    lines : three increasing lists of coordinates from 0 to 1, the faces of the mesh along each axis;
    cell : "hexahedron" or "tetrahedron";  order;  first_kind : whether the space is Nédélec's first kind.

The result holds data (n, K, K) in V/m, source by receiver, background subtracted; dofs; seconds of processor
time (n + 1, 3) to assemble, factorise and solve for K sources, background first; megabytes, the peak.
"""

import json
import resource
import sys
import time
from math import pi

import numpy as np
from ngsolve import (
    BilinearForm,
    HCurl,
    IfPos,
    Integrate,
    LinearForm,
    SetNumThreads,
    curl,
    ds,
    dx,
    exp,
    sqrt,
    x,
    y,
    z,
)
from ngsolve.meshes import MakeStructured3DMesh

LIGHT = 299_792_458.0  # m/s
IMPEDANCE = 4e-7 * pi * LIGHT  # Ω; μ0 differs from the measured value by 1e-10


def mesh_of(lines, cell):
    """Bricks, or 6 tetrahedra a brick, with faces on the given lines."""
    sizes = [len(line) - 1 for line in lines]

    def place(*point):
        return tuple(
            float(np.interp(t, np.linspace(0, 1, n + 1), line))
            for t, n, line in zip(point, sizes, lines, strict=True)
        )

    nx, ny, nz = sizes
    return MakeStructured3DMesh(hexes=cell == "hexahedron", nx=nx, ny=ny, nz=nz, mapping=place)


def log_contrast(balls, width):
    """m(x), the sum of the balls."""
    m = 0
    for cx, cy, cz, radius, q in balls:
        distance = sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        t = (radius + width / 2 - distance) / width
        t = IfPos(t, IfPos(1 - t, t, 1), 0)
        m += q * t**3 * (10 - 15 * t + 6 * t**2)
    return m


def patches(request, mesh, space):
    """Functionals v ↦ ∫_top g̃ p·v, as vectors of NGSolve: p along x first, then along y."""
    v = space.TestFunction()
    centres = np.linspace(request["first"], request["last"], request["side"])
    found = []
    for axis in (0, 1):
        for cx in centres:
            for cy in centres:
                g = exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * request["deviation"] ** 2))
                moment = Integrate(g, mesh, definedon=mesh.Boundaries("top"), order=20)
                form = LinearForm(g / moment * v.Trace()[axis] * ds("top", bonus_intorder=12))
                found.append(form.Assemble().vec)
    return found


def responses(request):
    """Background response and those of the samples, each (K, K) source by receiver, and what they cost."""
    SetNumThreads(1)
    mesh = mesh_of(request["lines"], request["cell"])
    space = HCurl(mesh, order=request["order"], type1=request["first_kind"], complex=True)
    functionals = patches(request, mesh, space)
    rows = np.array([vector.FV().NumPy() for vector in functionals])
    kappa = 2 * pi * request["frequency"] / LIGHT
    u, v = space.TnT()
    matrices, seconds = [], []
    for balls in [[], *request["balls"]]:
        began = time.process_time()
        sigma = request["background"] * exp(log_contrast(balls, request["width"])) if balls else None
        k2 = kappa**2 * request["permittivity"] - 1j * kappa * IMPEDANCE * (sigma or request["background"])
        form = BilinearForm(space, symmetric=True, condense=True)
        # A coefficient that is no polynomial asks for more points than the elements do.
        form += curl(u) * curl(v) * dx - k2 * u * v * dx(bonus_intorder=6 if balls else 0)
        form += 1j * kappa * u.Trace() * v.Trace() * ds
        form.Assemble()
        assembled = time.process_time()
        # The functionals vanish on the condensed interior unknowns, so those need not be recovered.
        inverse = form.mat.Inverse(space.FreeDofs(coupling=True), inverse="sparsecholesky")
        factorised = time.process_time()
        solution = functionals[0].CreateVector()
        columns = np.empty_like(rows)
        for column, functional in zip(columns, functionals, strict=True):
            solution.data = inverse * functional
            column[:] = solution.FV().NumPy()
        del inverse
        matrices.append(-1j * kappa * IMPEDANCE * columns @ rows.T)
        seconds.append(np.diff([began, assembled, factorised, time.process_time()]))
    return np.array(matrices), space.ndof, np.array(seconds)


def main(request_file, result_file):
    """Answer one request."""
    with open(request_file, encoding="utf-8") as file:
        request = json.load(file)
    matrices, dofs, seconds = responses(request)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    np.savez(result_file, data=matrices[1:] - matrices[0], dofs=dofs, seconds=seconds, megabytes=peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
