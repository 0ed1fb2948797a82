"""Queue, workers and autoscalers as a simulation: which configurations lose work, and which scaling is worth its money."""
