"""Certificate authorities: who is asked for certificates, one kind a file, behind ``protocol.py``."""
