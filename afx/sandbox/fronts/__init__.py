"""Proxies in front of the sandbox, through which clients may have to come."""
