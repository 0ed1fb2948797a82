"""The embedded local stack: an S3 and SQS endpoint and a Postgres, as child processes on loopback ports."""
