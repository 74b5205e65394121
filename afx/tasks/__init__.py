"""Tasks: kinds of work that nodes do on request, and their executor."""
