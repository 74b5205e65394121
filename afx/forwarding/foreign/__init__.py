"""Configurations of other forwarders, read as rules."""
