"""The command line: every way in which a person or a script meets Privy Seal from a shell."""
