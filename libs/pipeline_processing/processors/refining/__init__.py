"""One file from bronze to silver on local disk: read, normalised, checked, profiled, deduplicated, written."""
