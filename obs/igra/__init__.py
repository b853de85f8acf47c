"""IGRA v2: NCEI's radiosonde archive, as text, as files, as a server."""
