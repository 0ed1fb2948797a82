"""What a run says of itself when it is over: one JSON document, and one page for people."""
