"""Segue: teach a segmentation network a new domain."""

__version__ = "0.1.0"
