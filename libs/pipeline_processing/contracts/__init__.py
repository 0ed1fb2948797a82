"""Contracts of datasets: Open Data Contract Standard v3.0 to v3.2 in, `model.Contract` out."""
