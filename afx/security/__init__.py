"""Secrets: logins at rest, signed jobs."""
