"""Contracts of datasets: Open Data Contract Standard v3.1 in, `model.Contract` out."""
