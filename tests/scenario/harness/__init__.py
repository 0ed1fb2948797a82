"""Real processes on the local stack, every request on the way in the test's hands."""
