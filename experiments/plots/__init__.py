"""Pictures of a comparison: each function returns a matplotlib figure and reads only what it is given."""
