"""What is written down: one file per kind of record. Every function takes a transaction for one Subscriber."""
