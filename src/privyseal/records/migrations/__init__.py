"""Schema revisions, applied by ``records.database.migrate``."""
