"""A whole cluster with faults, for the demo, benchmarks, soaks and tests."""
