"""What is wrong with the rows, and what they look like: checks, verdicts, profiles, drift."""
