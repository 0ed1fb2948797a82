"""Works on a lane's queue, one delivery at a time for each place; once per item."""
