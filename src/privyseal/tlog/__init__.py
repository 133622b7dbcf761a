"""The log: Merkle tree, notes, checkpoints, tiles, entries, receipts, and the policies that judge them (C2SP)."""
