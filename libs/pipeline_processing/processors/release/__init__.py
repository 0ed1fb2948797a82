"""Quarantined rows given back: planned, worked off and published as a run of their own."""
