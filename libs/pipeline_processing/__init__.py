"""The product's language: runs, items, markers, manifests, settlement; shared by the services."""

__version__ = "0.1.0"
