"""Create the tables of trust rules, of the tokens exchanged under them, and of static tokens with a scope.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "trust_rules",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("member", sa.String(length=40), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_trust_rules_subscriber")),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_trust_rules_member")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_rules")),
    )
    op.create_index(op.f("ix_trust_rules_subscriber"), "trust_rules", ["subscriber"])
    op.create_table(
        "exchanged_tokens",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.String(length=40), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("workload", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("kept_until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_exchanged_tokens_subscriber")),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_exchanged_tokens_member")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchanged_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_exchanged_tokens_digest")),
        sa.UniqueConstraint("identity", "turn", name=op.f("uq_exchanged_tokens_identity_turn")),
    )
    op.create_index(op.f("ix_exchanged_tokens_kept_until"), "exchanged_tokens", ["kept_until"])
    op.create_table(
        "scoped_tokens",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.String(length=40), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_scoped_tokens_subscriber")),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_scoped_tokens_member")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scoped_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_scoped_tokens_digest")),
    )
    op.create_index(op.f("ix_scoped_tokens_subscriber"), "scoped_tokens", ["subscriber"])


def downgrade() -> None:
    """Take this revision back."""
    for name in ("scoped_tokens", "exchanged_tokens", "trust_rules"):
        op.drop_table(name)
