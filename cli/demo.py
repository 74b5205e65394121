"""afx demo."""
def demo() -> None:
    """x"""
