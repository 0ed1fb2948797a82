"""SQL, and only here: what the product reads from Postgres, by named queries."""
