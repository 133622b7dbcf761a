"""What a world's people would be told: the outbox, as it stands."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from tests.world import World

from privyseal.records.tables import notices
from privyseal.signing.instance import Post


def listen(world: World) -> None:
    """Have somebody listen, so that something is put into the outbox; nothing is sent from there."""
    world.seal.post = Post(bytes(32), people=("json://nowhere",))


def heard(world: World, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return topic and data of what was put into the outbox, in its order, of topics that begin so."""
    with world.seal.records.reading_all_subscribers() as connection:
        rows = connection.execute(select(notices.c.topic, notices.c.document).order_by(notices.c.id)).all()
    found = [(row.topic, json.loads(row.document)) for row in rows if row.topic.startswith(prefix)]
    return [(topic, said.get("data", said)) for topic, said in found]
