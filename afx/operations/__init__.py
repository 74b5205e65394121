"""The service layer: one function per read or change, for the command line and the API."""
