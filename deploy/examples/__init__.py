"""Code that a client would write; ``python -m deploy learn`` prints and runs it."""
