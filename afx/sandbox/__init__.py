"""A local Telegram: real MTProto 2.0 on loopback, for demo, tests, benchmarks."""
