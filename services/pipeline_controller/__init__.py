"""Plans runs, scatters their items, waits, gathers and publishes; once per run."""
