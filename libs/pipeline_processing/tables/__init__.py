"""Silver tables: which files a table has, and the one commit that changes them. `delta` and `plain` answer it."""
