"""The old names of the command line: thin aliases, nothing else."""
