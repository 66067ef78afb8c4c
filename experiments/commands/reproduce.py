"""Put the claims of a paper to experiments: a verdict on each, with 95 % intervals.

Without KEY the papers are listed.  Results are kept experiment by experiment in OUT/KEY (with --quick
OUT/KEY-quick): killed at any moment, the same command continues.  A claim that does not hold is a result, not an
error: the exit code is 0.
"""

import argparse

EXAMPLE = "maxinv reproduce time-variable --quick --out out/reproduce"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="of a paper; without it all keys are listed")
    parser.add_argument("--quick", action="store_true", help="minutes instead of a finding")
    parser.add_argument(
        "--out", metavar="OUT", default="out/reproduce", help="folder of all papers (default: %(default)s)"
    )
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        help="with MNIST/raw and FashionMNIST/raw, as torchvision keeps them; without it scikit-learn's digits",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes (default: usable cores)")


def run(options: argparse.Namespace) -> None:
    """Compute, then print the table."""
    from experiments import papers

    if options.key is None:
        return _list()
    papers.claims_file(options.key)

    from pathlib import Path

    from data import executors
    from experiments.errors import StudyError
    from experiments.papers.reproduction import reproduce, settings_of, show

    workers = executors.usable_cores() if options.workers is None else options.workers
    if workers < 1:
        raise StudyError(f"workers is {workers}; expected at least 1.")
    out = Path(options.out) / (options.key + "-quick" * options.quick)
    size = "quick" if options.quick else "full"
    settings = settings_of(options.key, size, options.images)
    with executors.local(workers) as executor:
        result = reproduce(options.key, out, executor, size, settings)
    show(result)
    print(f"written to {out}: {', '.join(['claims.json', 'claims.csv', *result['pictures']])}")


def _list():
    from experiments import papers
    from experiments.papers.claims import load

    for key in papers.known():
        paper = load(papers.claims_file(key))
        print(f"{key:16} arXiv {paper.arxiv}  {paper.title} ({len(paper.claims)} claims)")
    print("\n`maxinv reproduce KEY --quick` takes minutes, without --quick it is the finding.")
