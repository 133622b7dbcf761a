"""Say who holds a lease: the node, and which of its lives.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("requests", sa.Column("lease_node", sa.String(length=63), nullable=True))
    op.add_column("requests", sa.Column("lease_boot", sa.String(length=32), nullable=True))


def downgrade() -> None:
    """Take the schema back to the revision before."""
    op.drop_column("requests", "lease_boot")
    op.drop_column("requests", "lease_node")
