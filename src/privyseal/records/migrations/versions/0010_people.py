"""Create the tables of people: accounts, invitations, passkeys, recovery codes, identities, sessions, codes.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_TABLES = (
    "device_codes",
    "spent_notes",
    "sessions",
    "identities",
    "recovery_codes",
    "passkeys",
    "invitations",
    "accounts",
)


def _text(name: str, length: int | None = None, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text() if length is None else sa.String(length=length), nullable=null)


def _octets(name: str, *, null: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=null)


def _moment(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _owner(table: str, *, member: bool = True, null: bool = False) -> tuple[sa.schema.SchemaItem, ...]:
    """Return the columns and constraints by which rows are a Subscriber's, and mostly a member's."""
    of = (
        _text("subscriber", 63, null=null),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f(f"fk_{table}_subscriber")),
    )
    whose = (
        _text("member", 40),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f(f"fk_{table}_member")),
    )
    return (*whose, *of) if member else of


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def upgrade() -> None:
    """Bring the schema to this revision."""
    _credentials()
    _sign_ins()


def _credentials() -> None:
    op.create_table(
        "accounts",
        *_owner("accounts"),
        _text("login", 64),
        _text("password", null=True),
        _octets("totp", null=True),
        _octets("totp_pending", null=True),
        _moment("totp_step"),
        sa.Column("failures", sa.Integer(), nullable=False),
        _moment("not_before", null=True),
        _key("accounts", "member"),
        sa.UniqueConstraint("subscriber", "login", name=op.f("uq_accounts_subscriber_login")),
    )
    op.create_table(
        "invitations",
        _octets("digest"),
        *_owner("invitations"),
        _moment("created"),
        _moment("expires"),
        _key("invitations", "digest"),
    )
    op.create_table(
        "passkeys",
        _octets("credential"),
        *_owner("passkeys"),
        _octets("public_key"),
        _octets("cose"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        _flag("synced"),
        _flag("backed_up"),
        _flag("refused"),
        _text("rp_id"),
        _text("origin"),
        _text("label"),
        _moment("created"),
        _moment("used", null=True),
        _key("passkeys", "credential"),
    )
    op.create_index("ix_passkeys_member", "passkeys", ["member"])
    op.create_table("recovery_codes", _octets("digest"), *_owner("recovery_codes"), _key("recovery_codes", "digest"))
    op.create_index("ix_recovery_codes_member", "recovery_codes", ["member"])
    op.create_table(
        "identities",
        _text("issuer", 255),
        _text("subject", 255),
        *_owner("identities"),
        _moment("created"),
        _key("identities", "issuer", "subject"),
    )


def _sign_ins() -> None:
    op.create_table(
        "sessions",
        _octets("digest"),
        _text("id", 40),
        *_owner("sessions"),
        _text("kind", 16),
        _text("factors"),
        _text("said"),
        _moment("begun"),
        _moment("proved_at", null=True),
        _moment("seen"),
        _moment("ends"),
        _octets("agent"),
        _text("label"),
        _flag("pending"),
        _key("sessions", "digest"),
        sa.UniqueConstraint("id", name=op.f("uq_sessions_id")),
    )
    op.create_index("ix_sessions_member", "sessions", ["member"])
    op.create_table(
        "spent_notes",
        _octets("digest"),
        *_owner("spent_notes", member=False),
        _moment("expires"),
        _key("spent_notes", "digest"),
    )
    op.create_table(
        "device_codes",
        _octets("digest"),
        _octets("user_code"),
        *_owner("device_codes", member=False, null=True),
        _text("member", 40, null=True),
        _text("session", 40, null=True),
        _text("label"),
        _moment("expires"),
        _flag("refused"),
        _moment("asked", null=True),
        _key("device_codes", "digest"),
        sa.UniqueConstraint("user_code", name=op.f("uq_device_codes_user_code")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_sessions_member", table_name="sessions")
    op.drop_index("ix_recovery_codes_member", table_name="recovery_codes")
    op.drop_index("ix_passkeys_member", table_name="passkeys")
    for table in _TABLES:
        op.drop_table(table)
