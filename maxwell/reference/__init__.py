"""Closed forms and manufactured solutions that the discretisation is measured against."""
