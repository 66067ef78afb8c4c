"""Check this installation: versions, scalar type, MPI, compiler, threads, whose packages are imported.

Each line says what was found; a line that is not in order says its mend.  Ends with exit code 1 if something
needed is missing.
"""

import argparse

EXAMPLE = "maxinv doctor"
SIGNS = {"ok": "ok  ", "note": "note", "fault": "FAIL"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    """Print the findings; 1 if any is a fault."""
    from experiments.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        mend = f"\n      mend: {finding.mend}" if finding.mend else ""
        print(f"{SIGNS[finding.state]}  {finding.subject}: {finding.found}{mend}", flush=True)
    faults = sum(finding.state == "fault" for finding in findings)
    notes = sum(finding.state == "note" for finding in findings)
    print(f"{len(findings)} checks, {faults} faults, {notes} notes")
    return int(faults > 0)
