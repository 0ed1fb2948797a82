"""Rejected rows: how they are kept, found, mended and given back."""
