"""The functions by which RQ's tools show this cluster's jobs."""
