"""Trials of the data pipeline: the same bits from every kind of worker, kills and refusals, speed of reading."""
