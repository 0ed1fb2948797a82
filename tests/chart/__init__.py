"""The ladder of checks of the chart, and the planted faults that prove that each rung holds."""
