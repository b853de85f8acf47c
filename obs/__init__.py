"""Observations: the outside world -> arrays with errors and quality codes."""
