"""The requirements themselves, one clause family in a file; each file ends in its tuple ``REQUIREMENTS``."""
