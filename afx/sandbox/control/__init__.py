"""The control channel: what tests, labs and commands ask of a running sandbox.

A call is a function that takes the ``Sandbox`` and its arguments by name,
returns plain values, and is registered by ``@call`` under its own name. There
is one file for each area; a new one is added to the imports of ``listener``.
"""
