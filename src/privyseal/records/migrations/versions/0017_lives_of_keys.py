"""Create the tables of how Key Pairs stand, of acts on them that wait for people, and of who agreed.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from privyseal.records.dialect import ALL_SUBSCRIBERS

revision = "0017"
down_revision = "0016"

_ROWS = """
INSERT INTO key_lives (subscriber, name, key_id, state, since, used)
SELECT key_pairs.subscriber, key_pairs.name, key_pairs.key_id,
       CASE WHEN NOT EXISTS (SELECT 1 FROM certificates WHERE certificates.subscriber = key_pairs.subscriber
                             AND certificates.key_id = key_pairs.key_id) THEN 'generated'
            WHEN key_pairs.frozen THEN 'suspended' ELSE 'active' END,
       CAST({now} AS BIGINT), NULL
FROM key_pairs
"""
_NOW = {
    "postgresql": "EXTRACT(EPOCH FROM now()) * 1000000",
    "sqlite": "strftime('%s', 'now') * 1000000",
}


def upgrade() -> None:
    """Bring the schema to this revision; keys with a certificate are in use, others were generated."""
    op.create_table(
        "key_lives",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_key_lives_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "name", name=op.f("pk_key_lives")),
    )
    op.create_index("ix_key_lives_state_since", "key_lives", ["state", "since"])
    op.create_table(
        "key_acts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("key_name", sa.String(length=63), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("canonical", sa.LargeBinary(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("proposer", sa.String(length=40), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_key_acts_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_acts")),
    )
    op.create_index("ix_key_acts_subscriber_key_name", "key_acts", ["subscriber", "key_name"])
    op.create_index("ix_key_acts_state", "key_acts", ["state"])
    op.create_table(
        "key_act_approvals",
        sa.Column("of_act", sa.String(length=40), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("approver", sa.String(length=255), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["of_act"], ["key_acts.id"], name=op.f("fk_key_act_approvals_of_act")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_key_act_approvals_subscriber")),
        sa.PrimaryKeyConstraint("of_act", "public_key", "approver", name=op.f("pk_key_act_approvals")),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute(f"SET LOCAL privyseal.tenant='{ALL_SUBSCRIBERS}'")  # row-level security holds for the owner as well
    connection.exec_driver_sql(_ROWS.format(now=_NOW[connection.dialect.name]))


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("key_act_approvals")
    op.drop_index("ix_key_acts_state", table_name="key_acts")
    op.drop_index("ix_key_acts_subscriber_key_name", table_name="key_acts")
    op.drop_table("key_acts")
    op.drop_index("ix_key_lives_state_since", table_name="key_lives")
    op.drop_table("key_lives")
