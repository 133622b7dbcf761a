"""``privyseal log accept-gap``: an operator gives up requests that the log knows and the records have lost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from privyseal.cli.output import Command, JsonMode, Output, json_option
from privyseal.cli.output import mark as tick


@click.command("accept-gap", cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--apply", is_flag=True, help="Do it; without this only what is missing is said.")
@json_option
def accept_gap(directory: Path, apply: bool, json_mode: JsonMode | None) -> None:
    """Say which requests the log knows and the records have lost, and with --apply sign on without them.

    Restore the newest records if there are any. The log holds commitments only, so no request can be made from it: the
    answers and Idempotency-Keys of those that are given up are lost, and who asks again under such a key gets another
    signature. The service must not run.
    """
    from privyseal import config
    from privyseal.cli.serve import alone
    from privyseal.records import schema
    from privyseal.records.database import open_records
    from privyseal.signing.recollection import accept

    settings, output = config.load(directory), Output(json_mode)
    records = open_records(config.records_url(settings.records, directory))
    try:
        with alone(directory):
            schema.require_fit(records)
            found = config.recollection(settings, directory, records)
            gap = accept(found, records, datetime.now(UTC)) if apply else found.gap()
    finally:
        records.close()
    known = "none of its intents" if gap.known is None else f"it up to entry {gap.known}"
    output.say(f"the log has {gap.size} entries, and the records know {known}")
    if not gap.missing:
        output.say(f"{tick(True)} no request is missing; there is nothing to do")
    for subscriber, count in sorted(gap.missing.items()):
        output.say(f"{tick(apply)} {count} requests of {subscriber} are {'given up' if apply else 'missing'}")
    if gap.missing:
        output.say(f"their intents stand at entries {gap.first} to {gap.last}")
        output.say(
            "their Idempotency-Keys are free again: whoever asks anew gets another signature"
            if apply
            else "nothing was changed; say --apply to sign on without them"
        )
    result = {"schema": "privyseal/log-gap/1", "size": gap.size, "known": gap.known, "missing": gap.missing}
    output.result({**result, "first": gap.first, "last": gap.last, "applied": apply and bool(gap.missing)})
