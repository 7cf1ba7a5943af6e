"""Raw logs in, trusted events and point-in-time training rows out: ingest, quality, features."""
