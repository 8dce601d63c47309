"""What outlives a process: the database, and files that are either whole or absent."""
