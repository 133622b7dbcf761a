"""Scanners: other people's programs that look at uploaded files before they are signed, one file each."""
