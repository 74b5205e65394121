"""What all processes share through Redis."""
