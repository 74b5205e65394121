"""The wire: transports, key exchange, encrypted messages."""
