"""The REST API and the dashboard: thin faces over ``afx.operations``."""
