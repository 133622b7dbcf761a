"""The schema: brought to the newest revision by ``migrate``, and held against this program's own before it is used.

On PostgreSQL the tables belong to an owner, and ``serve`` has a role of its own. Row-level security stands beside the
migrations, not in them: whenever the schema is migrated, every table with a Subscriber's rows gets its policy, so that
none can be forgotten, and the role of ``serve`` gets the rights that it needs.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from privyseal.errors import Misused
from privyseal.records.database import DIALECTS, Records, make_url_or_refuse
from privyseal.records.dialect import ALL_SUBSCRIBERS
from privyseal.records.tables import metadata

_REVISION = re.compile(r"([0-9]{4})_.*\.py")
_TENANT = "current_setting('privyseal.tenant', true)"

_OF_A_MEMBER = "EXISTS (SELECT FROM members WHERE members.id = member)"
_OWNERS = {"subscribers": "name = {tenant}", "tokens": _OF_A_MEMBER, "client_certificates": _OF_A_MEMBER}
"""Tables whose rows are one Subscriber's without a column ``subscriber``; members obey their own policy in there."""


def migrate(url: str, serve_role: str | None = None) -> None:
    """Bring the database at ``url`` to the newest schema, creating it where there is none.

    On PostgreSQL ``url`` is the owner's; ``serve_role`` gets the rights that ``serve`` needs.
    """
    from alembic import command  # a second of import that only this command needs
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.attributes["serve_role"] = serve_role
    config.attributes["url"] = url
    with resources.as_file(resources.files("privyseal.records") / "migrations") as folder:
        config.set_main_option("script_location", str(Path(folder)))
        try:
            command.upgrade(config, "head")
        except DBAPIError as error:
            raise DIALECTS[make_url_or_refuse(url).get_backend_name()].error(error) from error
        except CommandError as error:
            raise Misused(f"The database cannot be migrated: {error}.", hint="start the newest program") from error


def migrate_for_serve(url: str, owner: str | None = None) -> None:
    """Migrate the database that ``serve`` will use at ``url``; ``owner`` is its URL in the role that owns the tables.

    Raises Misused where two roles are named that are not of one kind of database, Unavailable where it does not answer.
    """
    serve = make_url_or_refuse(url)
    if owner is not None and make_url_or_refuse(owner).get_backend_name() != serve.get_backend_name():
        raise Misused("The owner's URL is of another kind of database than serve's.")
    migrate(owner or url, serve.username if owner is not None else None)


def revisions() -> list[str]:
    """List the revisions that this program knows, oldest first: their files are named for them."""
    folder = resources.files("privyseal.records") / "migrations" / "versions"
    return sorted(found[1] for found in (_REVISION.fullmatch(each.name) for each in folder.iterdir()) if found)


def require_fit(records: Records) -> None:
    """Raise where these records must not be used as they are.

    Misused where the schema is older or newer than this program or the server is set up to lose or to show what it
    must not; Unavailable where it does not answer or takes no writes.
    """
    with records.reading_all_subscribers() as connection:
        _require_revision(connection)
        records.dialect.require_fit(connection, guarded_tables())


def weaknesses(records: Records) -> list[str]:
    """Say in a sentence each what works but is not for production."""
    with records.reading_all_subscribers() as connection:
        return records.dialect.weaknesses(connection)


def guarded_tables() -> dict[str, str]:
    """Return, for each table with a Subscriber's rows, the SQL that is true for the rows of the tenant."""
    found = {}
    for table in metadata.tables.values():
        rule = _OWNERS.get(table.name) or ("subscriber = {tenant}" if "subscriber" in table.c else None)
        if rule is not None:
            found[table.name] = f"{rule.format(tenant=_TENANT)} OR {_TENANT} = '{ALL_SUBSCRIBERS}'"
    return found


def guard(connection: Connection, serve_role: str | None) -> None:
    """Lay row-level security on every table, and give ``serve_role`` its rights; PostgreSQL only."""
    quote = connection.dialect.identifier_preparer.quote
    for name, rule in guarded_tables().items():
        table = quote(name)
        connection.execute(text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
        connection.execute(text(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))
        connection.execute(text(f"DROP POLICY IF EXISTS tenant ON {table}"))
        connection.execute(text(f"CREATE POLICY tenant ON {table} USING ({rule}) WITH CHECK ({rule})"))
        if serve_role is not None:
            role = quote(serve_role)
            connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}"))
    if serve_role is not None:
        connection.execute(text(f"GRANT SELECT ON alembic_version TO {quote(serve_role)}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quote(serve_role)}"))


def _require_revision(connection: Connection) -> None:
    known = revisions()
    hint = "privyseal migrate --dir D, with the service stopped"
    if not inspect(connection).has_table("alembic_version"):
        lost = "put the records back from a backup, or where the service is new: "
        raise Misused("The database of the records is empty.", hint=lost + hint)
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found not in known:
        raise Misused(
            f"The database is at schema {found}, which is newer than this program ({known[-1]}).",
            hint="start the program that migrated it, or a later one",
        )
    if found != known[-1]:
        raise Misused(f"The database is at schema {found}; this program needs {known[-1]}.", hint=hint)
