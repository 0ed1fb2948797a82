"""Business logic, one module a kind of item: config and clients in the constructor, plain results out."""
