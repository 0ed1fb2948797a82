"""Reprocessing: which files, what would change, and the way back."""
