"""The Code Signing Baseline Requirements as a program: what is asked, of whom, since when, and what the verdict is."""
