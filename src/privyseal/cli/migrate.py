"""``privyseal migrate``: the records of a service brought to the schema of this program."""

from __future__ import annotations

from pathlib import Path

import click

from privyseal import config
from privyseal.cli.serve import alone
from privyseal.records import schema


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--owner", metavar="URL", help="PostgreSQL: the database in the role that owns the tables.")
def migrate(directory: Path, owner: str | None) -> None:
    """Bring the records to this program's schema.

    Stop every serve on them first, and keep a copy. On PostgreSQL this also lays row-level security on every table and
    gives serve's role the rights that it needs. Running it again changes nothing.
    """
    settings = config.load(directory)
    with alone(directory):
        schema.migrate_for_serve(config.records_url(settings.records, directory), owner)
    click.echo(f"The records are at schema {schema.revisions()[-1]}.", err=True)
