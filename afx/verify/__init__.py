"""The nine verification tests, against the cluster in front of them, without harming it."""
