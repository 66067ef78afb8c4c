"""Studies: train, compare and report, and the command line `maxinv` that does it."""
