"""What operators do: one function per act, for the command line and the API."""
