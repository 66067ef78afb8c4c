"""The report of a study: one page that opens offline, made from tables and score sheets alone."""
