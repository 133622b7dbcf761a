"""Let PostgreSQL keep signatures and receipts as they are: it tried in vain to compress each of them.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_COLUMNS = ("signatures", "tokens", "blobs", "receipt")


def upgrade() -> None:
    """Bring the schema to this revision."""
    _store("EXTERNAL")


def downgrade() -> None:
    """Take the schema back to the revision before."""
    _store("EXTENDED")


def _store(how: str) -> None:
    """Say how octets that do not fit into a row are kept (PostgreSQL manual, TOAST); rows that are there stay."""
    if op.get_bind().dialect.name == "postgresql":
        columns = ", ".join(f"ALTER COLUMN {name} SET STORAGE {how}" for name in _COLUMNS)
        op.execute(f"ALTER TABLE requests {columns}")
