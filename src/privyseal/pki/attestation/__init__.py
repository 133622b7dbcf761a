"""Key attestations: what a module says of a key that it holds, signed with a key of its maker's (CSBR 6.2.7.4.2)."""
