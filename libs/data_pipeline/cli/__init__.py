"""`data-pipeline …`, as it was called before."""
