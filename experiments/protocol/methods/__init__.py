"""Yardsticks: classical inversion, and learned baselines that are no networks."""
