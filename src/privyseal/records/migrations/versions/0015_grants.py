"""Create the tables of grants, of who agreed to them and of what was signed under them.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("requests", sa.Column("granted", sa.String(length=64), nullable=True))
    op.create_table(
        "grants",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("key_name", sa.String(length=63), nullable=False),
        sa.Column("requester", sa.String(length=40), nullable=False),
        sa.Column("canonical", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=True),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.String(length=40), nullable=False),
        sa.Column("told", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_grants_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_subscriber_until", "grants", ["subscriber", "until"])
    op.create_table(
        "grant_approvals",
        sa.Column("of_grant", sa.String(length=40), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["of_grant"], ["grants.id"], name=op.f("fk_grant_approvals_of_grant")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_grant_approvals_subscriber")),
        sa.PrimaryKeyConstraint("of_grant", "public_key", name=op.f("pk_grant_approvals")),
    )
    op.create_table(
        "grant_uses",
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("of_grant", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("signatures", sa.Integer(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["of_grant"], ["grants.id"], name=op.f("fk_grant_uses_of_grant")),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name=op.f("fk_grant_uses_request")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_grant_uses_subscriber")),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_grant_uses")),
    )
    op.create_index("ix_grant_uses_of_grant", "grant_uses", ["of_grant"])


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_grant_uses_of_grant", table_name="grant_uses")
    op.drop_table("grant_uses")
    op.drop_table("grant_approvals")
    op.drop_index("ix_grants_subscriber_until", table_name="grants")
    op.drop_table("grants")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_column("granted")
