"""The walks, where the crafts meet: every write goes through here, and here the invariants are held."""
