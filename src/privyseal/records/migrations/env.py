"""Where Alembic begins: it connects to the URL that ``records.schema.migrate`` put in its configuration."""

from __future__ import annotations

from alembic import context

from privyseal.records.database import open_records
from privyseal.records.schema import guard
from privyseal.records.tables import metadata

_given = context.config.attributes
_records = open_records(_given["url"])
try:
    with _records.engine.connect() as connection:
        # A revision that moves rows must see those of all Subscribers, which forced policies hide from the owner too.
        connection.execution_options(privyseal_writes=True, privyseal_across=True)
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
        if connection.dialect.name == "postgresql":
            guard(connection, _given["serve_role"])
        connection.commit()
finally:
    _records.close()
