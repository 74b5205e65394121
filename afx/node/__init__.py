"""A worker node: supervisor, host process, running sessions."""
