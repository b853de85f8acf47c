"""Experiments with the real cycle code in the simulated world: the demo and the OSSE."""
