"""Products: analyses and forecasts as files that other people's tools read, and those files read back."""
