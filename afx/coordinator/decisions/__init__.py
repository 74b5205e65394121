"""The coordinator's decisions: pure functions of values, without any effect."""
