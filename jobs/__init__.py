"""What RQ may run, and the queues' names."""
