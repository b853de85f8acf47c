"""The daemon and what it shows: scheduler, status page, metrics, health, signals, logs."""
