"""Where Alembic begins: it connects to the URL that ``records.database.migrate`` put in its configuration."""

from __future__ import annotations

from alembic import context

from privyseal.records.database import open_records
from privyseal.records.tables import metadata

records = open_records(context.config.get_main_option("sqlalchemy.url") or "")
with records.engine.connect() as connection:
    connection.execution_options(privyseal_writes=True)
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
records.close()
