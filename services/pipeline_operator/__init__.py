"""What a person decides: looking at dead letters, and giving them back to their queue."""
