"""RFC 3161 timestamps: the tokens, other people's authorities as a client, and our own authority."""
