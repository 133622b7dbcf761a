"""The nouns of the Baseline Requirements: nothing but data and what follows from it."""
