"""Every read and write that the rest of afx may ask for, grouped by table."""
