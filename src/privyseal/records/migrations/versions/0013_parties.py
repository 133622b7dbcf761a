"""Say how Subscribers stand and until when members come in, and create the table of papers.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Bring the schema to this revision; who was here before is active."""
    op.add_column("subscribers", sa.Column("state", sa.String(length=16), nullable=False, server_default="active"))
    op.add_column("members", sa.Column("until", sa.BigInteger(), nullable=True))
    op.add_column("members", sa.Column("ended", sa.BigInteger(), nullable=True))
    op.create_table(
        "papers",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=40), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_papers_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "kind", "version", name=op.f("pk_papers")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("papers")
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.drop_column("ended")
        batch_op.drop_column("until")
    with op.batch_alter_table("subscribers", schema=None) as batch_op:
        batch_op.drop_column("state")
