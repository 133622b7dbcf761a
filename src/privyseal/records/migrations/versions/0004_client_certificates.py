"""Create the table of the keys whose client certificates members hold.

Revision ID: 0004
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "client_certificates",
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.String(length=40), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_client_certificates_member")),
        sa.PrimaryKeyConstraint("key_digest", name=op.f("pk_client_certificates")),
    )
