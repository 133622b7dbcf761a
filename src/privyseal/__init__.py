"""Privy Seal: a code signing service in the sense of the CA/Browser Forum's Code Signing Baseline Requirements."""

__version__ = "0.1.0"
