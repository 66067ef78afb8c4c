"""Benchmarks: are the data right, and how fast do they come?  `maxinv bench` prints them."""
