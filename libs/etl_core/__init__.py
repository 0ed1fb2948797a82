"""The generic floor: clocks, errors, queues, object stores, databases. Knows no run, item or agency."""
