"""The ledger by which tests judge, and the faults they ask for."""
