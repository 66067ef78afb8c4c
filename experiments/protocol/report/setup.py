"""What each problem is, in a few sentences for a reader who does not know the code."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from experiments.protocol.report.chart import percent
from experiments.protocol.report.material import Problem
from maxwell import Cauchy, Conductivity, Magnetisation

_USUAL = {("grading", 0.0), ("cell", "tetrahedron")}
_WAVE = "curl curl <b>E</b> − <i>k</i><sub>c</sub>² <b>E</b>"


def sentences(problem: Problem) -> list[Markup]:
    """The equations and the unknown; the data and their noise; how many samples and on which meshes."""
    first = problem.dataset.split("train").take([0])
    about, measured = (
        _KINDS[type(first.problem)](first.problem)
        if type(first.problem) in _KINDS
        else (repr(first.problem), "")
    )
    kinds = {"c": "complex", "f": "real"}
    unknowns, data = first.parameters, first.observations
    return [
        Markup(f"{about} There are {unknowns.shape[1]} {kinds[unknowns.dtype.kind]} unknowns."),
        Markup(
            f"{measured} Data: {data.shape[1]} {kinds[data.dtype.kind]} numbers a sample, with white noise of "
            f"{percent(problem.noise)} of the RMS of the training data."
        ),
        Markup("Samples: ") + "; ".join(_split(problem, name) for name in problem.dataset.splits) + ".",
    ]


def _split(problem: Problem, name: str) -> str:
    view = problem.dataset.split(name)
    mesh = ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in view.mesh.items()
        if (key, value) not in _USUAL
    )
    crime = (
        ", on the mesh of training (inverse crime)"
        if view.inverse_crime and name not in ("train", "valid")
        else ""
    )
    return f"{name} {len(view):,} ({mesh}{crime})"


def _conductivity(problem: Conductivity) -> tuple[str, str]:
    frequencies = ", ".join(f"{f / 1e6:.3g}" for f in problem.frequencies)
    return (
        f"In the box Ω = (0, 1 m)³, {_WAVE} = −iκZ<sub>0</sub><b>J</b>, <i>k</i><sub>c</sub>² = κ²ε<sub>r</sub> − "
        f"iκσZ<sub>0</sub>, with impedance (Silver–Müller) walls, at {frequencies} MHz and in the convention "
        "e<sup>+iωt</sup>; sought is the conductivity σ = σ<sub>0</sub> e<sup>m(x)</sup> about "
        f"σ<sub>0</sub> = {problem.background:g} S/m, as {escape(repr(problem.parametrisation))}.",
        f"{problem.survey.size} Gaussian current patches on the top face are sources and receivers in turn; "
        "the response of the background is subtracted.",
    )


def _cauchy(problem: Cauchy) -> tuple[str, str]:
    return (
        f"In Ω = (0, 1 m)² × (0, {problem.depth:g} m), {_WAVE} = 0, <i>k</i><sub>c</sub>² = κ² − iκσ̂, κ = "
        f"{problem.wavenumber:g} rad/m, σ̂ = {problem.loss:g} 1/m, perfectly conducting lateral walls and "
        f"<b>n</b> × curl <b>E</b> = iκ<b>E</b><sub>T</sub> on z = {problem.depth:g} m; sought is the "
        "tangential field on the inaccessible face z = 0, as coefficients of its TE and TM modes.",
        f"Measured is the tangential field on z = {problem.depth:g} m, mode by mode; every mode decays with the "
        "depth, the finer the faster.",
    )


def _magnetisation(problem: Magnetisation) -> tuple[str, str]:
    low, high = problem.region
    return (
        "In Ω = (−1, 1 m)³, curl(μ<sup>−1</sup> curl <b>A</b>) = curl <b>M</b>, <b>n</b> × <b>A</b> = 0 on the "
        f"walls; sought is the magnetisation <b>M</b> in ({low[0]:g}, {high[0]:g} m)³, as "
        f"{escape(repr(problem.parametrisation))}.".replace("-", "−"),
        f"Measured is the flux density <b>B</b> = curl <b>A</b> by {problem.sensors} × {problem.sensors} sensors "
        f"of three components on the plane z = {problem.sensor_height:g} m.",
    )


_KINDS: dict[type, Callable[[Any], tuple[str, str]]] = {
    Conductivity: _conductivity,
    Cauchy: _cauchy,
    Magnetisation: _magnetisation,
}
