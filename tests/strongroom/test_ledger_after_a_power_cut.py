"""Tiles are not synced with each batch: what a power cut takes of them is made again, whichever head was published."""

from pathlib import Path

import pytest
from tests.strongroom.logroom import LogRoom, client, intent

from privyseal.errors import LogUnavailable


@pytest.mark.parametrize("content", [b"", b"\0" * 32, None], ids=["empty", "torn", "gone"])
def test_the_tiles_of_the_last_published_head_may_be_lost(tmp_path: Path, content: bytes | None):
    """Entries were staged beyond the published head, whose own tiles never reached the disk: the log goes on."""
    room = LogRoom(tmp_path)
    logger = room.logger()
    client(logger).append([intent(n) for n in range(3)], 0)
    room.faults.plan = ("mark", room.faults.seen.count("mark") + 1, False)  # staged, and then the power went
    with pytest.raises(LogUnavailable):
        client(logger).append([intent("staged")], 0)
    room.faults.plan = None
    logger.close()
    for path in (room.public / "tile/0/000.p/3", room.public / "tile/entries/000.p/3"):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    logger = room.logger()
    assert client(logger).append([intent("staged")], 0).items[0].index == 3
    assert client(logger).append([intent("more")], 3).size == 5
    logger.close()
    assert room.check() == 5


def test_the_tiles_of_earlier_heads_are_whole_again(tmp_path: Path):
    """Partials of earlier heads that were torn hold what they must after a start; ``fsck`` finds nothing."""
    room = LogRoom(tmp_path)
    logger = room.logger()
    for number in range(5):
        client(logger).append([intent(number)], 0)
    logger.close()
    kept = {path: path.read_bytes() for path in sorted(room.public.glob("tile/**/000.p/*"))}
    assert len(kept) == 10
    for number, (path, octets) in enumerate(kept.items()):
        path.write_bytes(octets[: len(octets) * (number % 3) // 3])
    logger = room.logger()
    client(logger).health()
    logger.close()
    assert {path: path.read_bytes() for path in kept} == kept
    assert room.check() == 5
