"""The command `maxinv`: one subcommand a file in `experiments.commands`, imported only when it is called.

Exit codes: 0 done, 1 a check failed (doctor), 2 the user's mistake (one sentence on standard error),
130 interrupted, 141 nobody reads the output.  With MAXINV_TRACEBACK=1 in the environment a mistake shows its
traceback too.
"""

import argparse
import importlib
import os
import sys

from experiments.errors import StudyError, user_errors
from experiments.notices import told_in_a_line

COMMANDS = {
    "doctor": "check this installation, each finding with its mend",
    "demo": "the whole story on real finite-element data: generate, train, compare, report",
    "generate": "make a data set from a recipe, or continue one",
    "validate": "check every byte of a data set, and some samples by solving them again",
    "info": "what a data set holds, with a picture of a few samples",
    "train": "train one network on a data set",
    "study": "a whole study: data, tuning, training, yardsticks, tables and report",
    "compare": "set trained networks beside each other and beside classical inversion",
    "invert": "recover the unknowns of your own observations with a trained network",
    "report": "write a comparison as one self-contained HTML file",
    "reproduce": "put the claims of a paper to experiments: a verdict on each",
    "depths": "what fixed and learned steps do to gradients and to training, from 4 to 512 layers",
    "bench": "are the data right, and how fast do they come: tables of error, order, seconds and memory",
}
"""Every subcommand with its line of help; its module in `experiments.commands` has the same name."""


def main(arguments: list[str] | None = None) -> int:
    """Run `maxinv` with the given arguments (by default those of the process); returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = "maxinv"
    try:
        chosen = _outer_parser().parse_args(arguments[:1])
        name = f"maxinv {chosen.command}"
        command = importlib.import_module(f"experiments.commands.{chosen.command}")
        parser = argparse.ArgumentParser(
            prog=name,
            description=command.__doc__,
            epilog=f"example:\n  {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(parser)
        with told_in_a_line(name):
            options = parser.parse_args(arguments[1:])
            _refuse_empty(options)
            return command.run(options) or 0
    except KeyboardInterrupt:
        print(f"{name}: interrupted; run the same command again to continue.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; nothing more is to be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if not isinstance(error, (*user_errors(), OSError)) or os.environ.get("MAXINV_TRACEBACK"):
            raise
        print(f"{name}: {_said(error)}", file=sys.stderr)
        return 2


def _refuse_empty(options):
    """An empty text is nobody's wish, and as a path it would be the current folder."""
    for name, value in vars(options).items():
        if "" in (value if isinstance(value, list) else [value]):
            raise StudyError(
                f"{name}: given an empty text, as of a shell variable that is not set; give a value, or leave "
                "it out."
            )


def _said(error):
    """The sentence of a user's mistake, or of a file system that refuses (a full disk, a read-only folder)."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror}; mend that or choose another folder, then run the same command again."


def _outer_parser():
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {line}" for name, line in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="maxinv",
        description="A laboratory for ill-posed 3D Maxwell inverse problems.\n\ncommands:\n" + lines,
        epilog="`maxinv COMMAND --help` explains a command.\n\nexample:\n  maxinv demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help="one of the above")
    return parser


if __name__ == "__main__":
    sys.exit(main())
