"""Queue, workers and autoscalers, simulated: which settings lose work, and which scaling is worth its money."""
