"""Trained models for programs without this package: torch programs and ONNX files, checked when written."""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data.linear_estimate import LinearEstimate
from data.transforms import Compression, Normalise, realify
from data.turns import Turns
from surrogates import files
from surrogates.errors import SurrogateError
from surrogates.model import Model

NEEDED = ("onnx", "onnxscript", "onnxruntime")  # the extra `export`


class Program(nn.Module):
    """A whole model as one differentiable module: d (n, 2, m) float64 ↦ θ̂ (n, p) float64 in units.

    d[:, 0] are the real parts of the observations and d[:, 1] the imaginary ones (zero for real data); complex
    parameters come out alike, (n, 2, p). The
    transforms are buffers and compute in float64, since the small components of the data would drown in the
    rounding of float32; the net computes in its own precision, its memory (a, c) once and for all. A copy on the
    CPU: the model itself is left alone.
    """

    def __init__(self, model: Model):
        super().__init__()
        self.net = _frozen(model.net)
        self.encode = _ENCODERS[type(model.encode)](model.encode)
        self.softened = model.softened
        # Names that no operation has: the ONNX exporter tells them apart from nodes called mean by luck alone.
        self.register_buffer("parameter_mean", torch.as_tensor(model.decode.mean).clone())
        self.register_buffer("parameter_scale", torch.as_tensor(model.decode.scale).clone())
        self.pairs = bool(model.decode.pairs)
        self.remainder = None if model.remainder is None else _Remaining(model.remainder)
        self.precision = next(self.net.parameters()).dtype
        self.turns = None if model.turns is None else _Turning(model.turns)

    def forward(self, observations: Tensor) -> Tensor:
        """Return the parameters (n, p), or (n, 2, p), for observations (n, 2, m)."""
        return self._one(observations) if self.turns is None else self.turns(self._one, observations)

    def _one(self, observations: Tensor) -> Tensor:
        z = self.encode(observations)
        if self.softened:
            z = _soften(z)
        found = self.net(z.to(self.precision)).double()
        if self.remainder is not None:
            found = self.remainder(found, observations)
        found = found * self.parameter_scale + self.parameter_mean
        return found.unflatten(1, (2, -1)) if self.pairs else found


def to_program(
    model: Model, path: str | Path, observations: np.ndarray | None = None, tolerance: float = 1e-5
) -> float:
    """Write the model as a torch program (``.pt2``) and return how far it is from ``model.estimate``.

    In a program with torch alone, on d of shape (n, 2, m) as in ``Program``, for any n >= 1::

        parameters = torch.export.load("model.pt2").module()(d)

    The written file is read again and compared on ``observations`` (n, m) complex, or on 64 random ones like
    the training data, as one batch and one by one. Returned is the largest |θ' − θ|/(|θ| + s) over samples and
    parameters, s being the parameter's spread over the training data: some 1e-7 for a net in float32.

    Raises ``SurrogateError`` beyond the ``tolerance``, and for a net that torch cannot trace; then no file is
    left, or the old one stays. Names, units and origin are in the extra file ``model.json``. Not for training
    on: use ``Model.save`` for that. Source: ``torch.export`` of torch 2.
    """

    def write(program, unfinished):
        extra = {"model.json": _about(model)}
        torch.export.save(program, unfinished, extra_files=extra)

    def run(unfinished):
        return torch.export.load(unfinished).module()

    return _export(model, Path(path), observations, tolerance, write, run)


def to_onnx(
    model: Model, path: str | Path, observations: np.ndarray | None = None, tolerance: float = 1e-5
) -> float:
    """Write the model as an ONNX file and return how far it is, run by onnxruntime, from ``model.estimate``.

    One input ``observations`` (batch, 2, m) and one output ``parameters`` (batch, p) or (batch, 2, p), both float64
    and as in ``Program``. In a program with onnxruntime alone::

        session = onnxruntime.InferenceSession("model.onnx")
        (parameters,) = session.run(None, {"observations": numpy.stack([d.real, d.imag], axis=1)})

    Comparison, result and errors as in ``to_program``; names, units and origin are the metadata ``model``.
    Needs the extra ``export``. Not for nets above 2 GB, the limit of one ONNX file, nor for ``Recurrent`` in
    float64, which onnxruntime does not have.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SurrogateError(
            f"an ONNX file needs {', '.join(missing)}, which this installation lacks: install the extra "
            "export, as in pip install 'maxwell-inverse[export]'"
        )

    def write(program, unfinished):
        names = {"input_names": ["observations"], "output_names": ["parameters"]}
        # onnxscript's optimiser takes quadratic time in the depth, and onnxruntime has its own.
        found = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False, **names)
        found.model.metadata_props["model"] = _about(model)
        found.save(unfinished)

    return _export(model, Path(path), observations, tolerance, write, _session)


def _export(
    model: Model,
    path: Path,
    observations: np.ndarray | None,
    tolerance: float,
    write: Callable[[torch.export.ExportedProgram, Path], None],
    run: Callable[[Path], Callable[[Tensor], Tensor]],
) -> float:
    if observations is None:
        draw = np.random.default_rng(0).standard_normal((64, model.encode.components))
        observations = model.encode.inverse(draw)
    expected, spread = model.estimate(observations), model.decode.scale
    if model.decode.pairs:
        expected = np.stack([expected.real, expected.imag], axis=1)
        spread = spread.reshape(2, -1)
    d = torch.as_tensor(realify(np.asarray(observations, dtype=complex)).reshape(len(expected), 2, -1))
    whole = Program(model)
    with files.replaced(path) as unfinished:
        try:
            with _quiet():
                batch = {"observations": {0: torch.export.Dim("batch", min=1)}}
                example = (torch.cat((d, d))[:2],)  # a batch of one would be taken for a constant
                write(torch.export.export(whole, example, dynamic_shapes=batch), unfinished)
                exported = run(unfinished)
                found = [exported(d), torch.cat([exported(row) for row in d.split(1)])]
        except Exception as error:  # torch's tracers and onnxruntime have their own types, without a base
            raise SurrogateError(
                f"{type(model.net).__name__} cannot be exported to {path} ({type(error).__name__}: "
                f"{(str(error).strip().splitlines() or [''])[0][:200]}): use Model.save, or a net of this package"
            ) from error
        size = np.abs(expected) + spread
        difference = max(float(np.max(np.abs(part.numpy() - expected) / size)) for part in found)
        if not difference <= tolerance:  # NaN is beyond any tolerance
            raise SurrogateError(
                f"the export of {type(model.net).__name__} to {path} differs from the model by {difference:.3g} "
                f"relative to the parameters, beyond the tolerance {tolerance:.3g}: nothing was written; give a "
                "larger tolerance, or a net in float64"
            )
    return difference


def _frozen(net: nn.Module) -> nn.Module:
    found = copy.deepcopy(net).cpu().eval().requires_grad_(False)
    if hasattr(
        found, "memory"
    ):  # steps no longer train, and the Γ of an order that does is no ONNX operation
        table = found.memory()
        found.memory = lambda: table
    return found


def _session(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda d: torch.as_tensor(session.run(None, {"observations": d.numpy()})[0])


def _about(model: Model) -> str:
    return json.dumps(
        {
            "names": model.names,
            "units": model.units,
            "spec": dict(model.spec),
            "digest": model.digest,
            "version": model.version,
        }
    )


class _Compressing(nn.Module):
    """``data.transforms.Compression`` of (n, 2, m)."""

    def __init__(self, fitted: Compression):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(fitted.mean).clone())
        self.register_buffer("directions", torch.as_tensor(fitted.directions / fitted.scale))

    def forward(self, observations: Tensor) -> Tensor:
        return (observations.flatten(1) - self.mean) @ self.directions


class _Remaining(nn.Module):
    """``data.linear_estimate.LinearEstimate`` of (n, 2, m), and what a net adds to it."""

    def __init__(self, fitted: LinearEstimate):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(fitted.mean).clone())
        self.register_buffer("gain", torch.as_tensor(fitted.gain).clone())
        self.register_buffer("offset", torch.as_tensor(fitted.offset).clone())
        self.register_buffer("size", torch.as_tensor(fitted.scale).clone())

    def forward(self, found: Tensor, observations: Tensor) -> Tensor:
        return found * self.size + (observations.flatten(1) - self.mean) @ self.gain + self.offset


class _Turning(nn.Module):
    """``data.turns.Turns.mean`` of an estimate of (n, 2, m)."""

    def __init__(self, given: Turns):
        super().__init__()
        sources = np.argsort(given.data_places, axis=1)  # entry j of Q d comes from entry sources[j] of d
        self.register_buffer("sources", torch.as_tensor(sources))
        self.register_buffer(
            "data_signs", torch.as_tensor(np.take_along_axis(given.data_signs, sources, axis=1))
        )
        self.register_buffer("places", torch.as_tensor(given.places.astype(int)))
        self.register_buffer("signs", torch.as_tensor(given.signs).clone())
        self.register_buffer("shifts", torch.as_tensor(given.shifts).clone())

    def forward(self, estimate: Callable[[Tensor], Tensor], observations: Tensor) -> Tensor:
        total = 0.0
        for g in range(len(self.signs)):
            found = estimate(observations.index_select(2, self.sources[g]) * self.data_signs[g])
            total = total + (found.index_select(-1, self.places[g]) - self.shifts[g]) * self.signs[g]
        return total / len(self.signs)


class _Normalising(nn.Module):
    """``data.transforms.Normalise`` of (n, 2, m)."""

    def __init__(self, fitted: Normalise):
        super().__init__()
        self.steps = int(fitted.steps)
        self.register_buffer("mean", torch.as_tensor(fitted.mean).clone())
        self.register_buffer("scale", torch.as_tensor(fitted.scale).clone())

    def forward(self, observations: Tensor) -> Tensor:
        runs = observations.unflatten(2, (self.steps, -1)).transpose(1, 2)  # (n, steps, 2, m/steps)
        return (runs.flatten(1) - self.mean) / self.scale


_ENCODERS = {Compression: _Compressing, Normalise: _Normalising}


def _soften(z: Tensor) -> Tensor:
    """``data.transforms.soften``: z · asinh(r)/r with r = ‖z‖/√k."""
    # asinh by its logarithm, since onnxruntime has asinh in float32 alone; its series near 0, where that cancels.
    r = z.square().mean(1, keepdim=True).sqrt()
    near = r < 1e-4
    far = torch.where(near, 1.0, r)
    return z * torch.where(near, 1 - r.square() / 6, (far + (far.square() + 1).sqrt()).log() / far)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own internals and on packages that no one asked for."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
