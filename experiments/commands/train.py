"""Train one network on a data set, or continue an interrupted training.

The settings come from a TOML file if one is given, each overridable by its flag.  Killed at any moment,
the same command continues and ends with the same weights, bit for bit.
"""

import argparse
import sys
import typing

EXAMPLE = "maxinv train out/demo/data out/runs/mine --family fractional --time simplex --seed 1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: one flag for each field of a run's specification."""
    from experiments.specs import TABLES, RunSpec

    parser.add_argument("dataset", metavar="DATA", help="folder of a data set, as `maxinv generate` makes it")
    parser.add_argument("out", metavar="OUT", help="folder of the run")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with any of the settings below, and tables [depth] (growth, pruning) and [regularisers]",
    )
    parser.add_argument("--device", default="cpu", help="torch device, such as cuda (default: %(default)s)")
    for name, field in RunSpec.model_fields.items():
        if name in TABLES:
            continue
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=_placeholder(field.annotation),
            help=f"{field.description} (default: {field.default})",
        )


def run(options: argparse.Namespace) -> None:
    """Train with progress, then say how well."""
    from pathlib import Path

    from experiments.files import read_toml, validated
    from experiments.progress import Progress
    from experiments.specs import TABLES, RunSpec

    table = read_toml(Path(options.config)) if options.config else {}
    flags = (name for name in RunSpec.model_fields if name not in TABLES)
    table |= {k: v for k in flags if (v := getattr(options, k)) is not None}
    spec = validated(RunSpec, table, options.config or "")

    import torch

    from data.executors import limit_threads
    from experiments.runs import train

    torch.set_num_threads(1)  # nets this small lose by threads, and sums stay in one order
    limit_threads()
    if spec.mesh_error:
        _announce_solves(options.dataset)
    by_work = bool(spec.depth and spec.budget)
    with Progress("train", spec.epochs, "% of the budget" if by_work else "epochs") as progress:
        watching = iter([progress.start])  # the first call says where a resumed training stands

        def watch(state):
            progress.total = state.epochs
            tell, note = next(watching, progress.update), f"validation loss {state.trace.valid_loss[-1]:.4f}"
            if spec.depth:
                note += f", {state.net.layers} layers"
            tell(int(100 * state.trace.work[-1] / spec.budget) if by_work else state.epoch, note)

        result = train(options.dataset, options.out, spec, watch, options.device)
    orders = result.record["trace"].get("order")
    learned = f", order {orders[0]:.4g} -> {orders[result.record['best_epoch']]:.4g}" if orders else ""
    found = result.record
    ends = f", {found['layers']} layers" if spec.depth else ""
    print(
        f"{result.path}: best validation loss {found['best_loss']:.4f} after epoch {found['best_epoch']} of "
        f"{found['epochs']}, {found['parameters']} parameters{ends}{learned}"
    )


def _announce_solves(dataset: str) -> None:
    """Say what takes minutes before the first epoch, if it does."""
    import data
    from data import mesh_error

    found = data.open(dataset)
    valid = found.split("valid")
    if valid.mesh != found.split("train").mesh and mesh_error.kept(found) is None:
        print(
            f"train: solving {len(valid)} validation samples on the mesh of training, once for this data set",
            file=sys.stderr,
            flush=True,
        )


def _placeholder(annotation) -> str:
    """What stands for a flag's value in the help: its choices, or the kind of number."""
    choices = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return "{" + ",".join(choices) + "}"
    kinds = {bool: "{true,false}", int: "N", float: "X"}
    found = (
        getattr(kind, "__origin__", kind) for kind in (annotation, *choices)
    )  # of Annotated[int, …], int
    return next((kinds[kind] for kind in found if kind in kinds), "NAME")
