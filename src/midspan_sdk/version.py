"""The one version of all wheels built from this repository."""

__version__ = "0.1.0"
