"""How fast and big the product is: `python -m tests.bench`. No test; docs/benchmarks.md keeps the table of a run."""
