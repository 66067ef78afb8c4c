"""Inverse problems, one file each: a frozen specification and its discretised forward map."""
