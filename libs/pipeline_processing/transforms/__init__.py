"""From rows of text to typed, normalised, enriched rows: the contract's rules compiled to Polars expressions."""
