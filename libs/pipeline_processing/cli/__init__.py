"""The command line. It imports nothing heavy before it knows which command was asked for."""
