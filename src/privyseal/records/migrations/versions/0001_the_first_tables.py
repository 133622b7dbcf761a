"""Create the first tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


# Long because it is a list: what a table is stands in one place, and nothing is decided in it.
def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "subscribers",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("tag_key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_subscribers")),
    )
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("installed", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_certificates_subscriber")),
        sa.PrimaryKeyConstraint("fingerprint", "subscriber", name=op.f("pk_certificates")),
    )
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificates_key_id"), ["key_id"], unique=False)

    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_events_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_subscriber_at", ["subscriber", "at"], unique=False)

    op.create_table(
        "key_pairs",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_key_pairs_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "name", name=op.f("pk_key_pairs")),
        sa.UniqueConstraint("key_id", name=op.f("uq_key_pairs_key_id")),
    )
    op.create_table(
        "members",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_members_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_members_subscriber"), ["subscriber"], unique=False)

    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("timeless_digest", sa.String(length=64), nullable=False),
        sa.Column("requester", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("canonical", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("completion_salt", sa.LargeBinary(), nullable=False),
        sa.Column("intent_index", sa.BigInteger(), nullable=True),
        sa.Column("intent_seq", sa.BigInteger(), nullable=True),
        sa.Column("signatures", sa.LargeBinary(), nullable=True),
        sa.Column("tokens", sa.LargeBinary(), nullable=True),
        sa.Column("blobs", sa.LargeBinary(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.String(length=64), nullable=True),
        sa.Column("failure_detail", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_requests_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("subscriber", "idempotency_key", name=op.f("uq_requests_subscriber_idempotency_key")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index("ix_requests_state_lease", ["state", "lease_until"], unique=False)

    op.create_table(
        "approvals",
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name=op.f("fk_approvals_request")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_approvals_subscriber")),
        sa.PrimaryKeyConstraint("request", "public_key", name=op.f("pk_approvals")),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.String(length=40), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_tokens_member")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tokens")),
    )


def downgrade() -> None:
    """Take the schema back to the revision before."""
    op.drop_table("tokens")
    op.drop_table("approvals")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_index("ix_requests_state_lease")

    op.drop_table("requests")
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_members_subscriber"))

    op.drop_table("members")
    op.drop_table("key_pairs")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_subscriber_at")

    op.drop_table("events")
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_certificates_key_id"))

    op.drop_table("certificates")
    op.drop_table("subscribers")
