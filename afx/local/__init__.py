"""Processes on this machine: the private Redis, and the children of `afx up`."""
