"""Telegram's API methods, as far as the sandbox knows them: one file for each area.

A method is a function that takes a ``Call`` and the TL request, returns the TL
answer, and is registered by ``@method(functions.area.NameRequest)``; its
docstring names the page of core.telegram.org that it follows. A new file is
added to the imports of ``afx.sandbox.telegram.api``.
"""
