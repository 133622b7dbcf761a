"""What ``privyseal doctor`` finds about who may what: Subscribers without a policy, and duties that are not apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from privyseal import config
from privyseal.access import duties_apart
from privyseal.cli.diagnosis import Diagnosis, some
from privyseal.errors import PrivySealError
from privyseal.formats import catalogue
from privyseal.records import keys, parties, policies
from privyseal.records.database import Records, open_records


def duties(settings: config.Settings, directory: Path) -> Iterator[Diagnosis]:
    """Look through all Subscribers; nothing is said where the records cannot be read, for another line says that."""
    try:
        records = open_records(config.records_url(settings.records, directory))
        try:
            yield _policies(records)
            yield _apart(records)
        finally:
            records.close()
    except PrivySealError:
        return


def _policies(records: Records) -> Diagnosis:
    with records.reading_all_subscribers() as connection:
        without = policies.without_policy_of_all_subscribers(connection)
    if without:
        return Diagnosis("policies", "weak", f"roles alone decide for {some(without)}: no policy was ever applied")
    return Diagnosis("policies", "good", "every Subscriber has a policy in force")


def _apart(records: Records) -> Diagnosis:
    with records.reading_all_subscribers() as connection:
        everybody = [each.name for each, _ in parties.subscribers_of_all(connection)]
    found = []
    for name in everybody:
        with records.reading(name) as tx:
            all_of_it = duties_apart.conflicts(
                policies.current(tx), policies.parties(tx), keys.key_pairs_of(tx), list(catalogue.BY_NAME)
            )
        found += [f"{name}: {each.path}" for each in all_of_it if not each.warning]
    if found:
        more = f" And {len(found) - 1} more." if len(found) > 1 else ""
        return Diagnosis("duties", "weak", found[0] + more)
    return Diagnosis("duties", "good", "nobody can both ask and agree, or enable a key, rule it and use it alone")
