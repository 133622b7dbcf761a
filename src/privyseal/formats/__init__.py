"""One code format per file; each has a file side and a key side, and neither ever owns a key."""
