"""Telethon, as afx uses it."""
