"""The control plane's loop, and its decisions as pure functions."""
