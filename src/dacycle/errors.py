"""Expected trouble: told in one line, exit code 1. Anything else keeps its traceback.

DacycleError
├── ConfigError       the configuration file or an environment variable
├── SourceError       the sounding archive: absent, unreadable, not what it should be
├── BundleError       a model bundle: missing, wrong shape, wrong channels
├── StateError        the state directory: locked, damaged, of a newer version
├── ClusterError      the processes that draw members: none there, lost, of another version
└── ProductError      a product could not be written or read back
"""

__all__ = ["BundleError", "ClusterError", "ConfigError", "DacycleError", "ProductError", "SourceError", "StateError"]


class DacycleError(Exception):
    """Base of everything an operator may meet; its text says what was expected, what came, where, and what to do."""


class ConfigError(DacycleError):
    """The configuration cannot be used."""


class SourceError(DacycleError):
    """The sounding archive cannot be read."""


class BundleError(DacycleError):
    """The model bundle cannot be used."""


class StateError(DacycleError):
    """The state directory or its ledger cannot be used."""


class ClusterError(DacycleError):
    """The cluster that should draw the members cannot; trying again later may help."""


class ProductError(DacycleError):
    """A product could not be written, or reads back differently."""
