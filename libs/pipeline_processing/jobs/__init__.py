"""One thin module a job, each with ``JOB = (entrypoint, description)``; they import nothing heavy before they run."""
