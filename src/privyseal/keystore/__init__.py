"""One home for keys per file. They do not know each other, and no method of any returns a Private Key."""
