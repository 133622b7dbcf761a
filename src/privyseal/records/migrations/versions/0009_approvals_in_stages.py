"""Keep of approvals the stage, what a passkey signed beside the challenge, and the request's key.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_requests = sa.table("requests", sa.column("id"), sa.column("canonical"))
_approvals = sa.table("approvals", sa.column("request"), sa.column("key_id"))


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("approvals", sa.Column("stage", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("approvals", sa.Column("authenticator_data", sa.LargeBinary(), nullable=True))
    op.add_column("approvals", sa.Column("client_data", sa.LargeBinary(), nullable=True))
    op.add_column("approvals", sa.Column("key_id", sa.String(length=64), nullable=True))
    op.create_index("ix_approvals_subscriber_key_id", "approvals", ["subscriber", "key_id"])
    connection = op.get_bind()
    agreed = sa.select(_requests.c.id, _requests.c.canonical).where(_requests.c.id.in_(sa.select(_approvals.c.request)))
    for row in connection.execute(agreed).all():
        key_id = json.loads(bytes(row.canonical)).get("key_id")
        connection.execute(sa.update(_approvals).where(_approvals.c.request == row.id).values(key_id=key_id))


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_approvals_subscriber_key_id", table_name="approvals")
    for name in ("key_id", "client_data", "authenticator_data", "stage"):
        op.drop_column("approvals", name)
