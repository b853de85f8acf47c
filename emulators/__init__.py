"""Emulators: a state of the atmosphere -> a later state. No files, no clock."""
