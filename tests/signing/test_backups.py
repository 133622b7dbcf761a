"""What a backup is made of: what its Subscribers allowed, whatever the records are kept in."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pyrage
import pytest
from tests.signing.test_copies import allow
from tests.world import SUBSCRIBER, World

from privyseal.errors import LogUnavailable
from privyseal.records import statements
from privyseal.signing import backups, paper
from privyseal.strongroom import age
from privyseal.strongroom.backing_up import House
from privyseal.strongroom.backup_file import Manifest, open_backup, write_backup

OWN = [pyrage.x25519.Identity.generate() for _ in range(2)]
TO = tuple(str(each.to_public()) for each in OWN)


def made(world: World, folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Make a backup and read all of it again."""
    folder.mkdir()
    house = House.of(world.directory)
    records = world.directory / "records.db" if world.database is None else None
    assert world.seal.documents is not None
    wanted = backups.Wanted(house, records, world.seal.documents.directory, TO)
    manifest, parts = backups.make(world.seal, wanted, folder)
    with (folder / "whole").open("wb") as target:
        write_backup(target, manifest, parts, house.log_signer())
    found: dict[str, bytes] = {}
    with closing(open_backup(folder / "whole", house.log_signer().verifier)) as opened:
        for part in manifest.parts:
            content = opened.part(part.name)
            assert content is not None
            age.unseal(content, [OWN[1]], lambda name, octets: found.update({name: octets.read()}))
    return manifest, found


def test_a_backup_has_what_it_says(world: World, tmp_path: Path) -> None:
    """Every entry of the log up to its head, documents, and a key only after its Subscriber said so."""
    world.ask([world.client(0)])
    document = world.seal.documents.directory / "ab" / ("ab" * 32)  # type: ignore[union-attr]
    document.parent.mkdir(parents=True)
    document.write_bytes(b"paper")
    before, files = made(world, tmp_path / "before")
    assert before.size == world.checkpoint().size and before.root == world.checkpoint().root.hex()
    assert files["log/checkpoint"] == (world.directory / "log" / "checkpoint").read_bytes()
    assert files[f"evidence/ab/{'ab' * 32}"] == b"paper"
    assert before.records == ("sqlite" if world.database is None else "postgresql")
    assert ("records.db" in files) == (world.database is None)
    assert not before.keys[0].kept and "signer/keys/demo/release.key" not in files
    assert not any(name.startswith(("marks/", "run/", "spool/")) or name.endswith("client.toml") for name in files)
    allow(world)
    after, files = made(world, tmp_path / "after")
    assert after.keys[0].kept
    sealed = world.directory / "signer" / "keys" / "demo" / "release.key"
    assert files["signer/keys/demo/release.key"] == sealed.read_bytes()
    assert b'passphrase = ""' in files["signer/signer.toml"] and files["signer/passphrase"]
    assert files["signer/passphrase"] not in files["signer/signer.toml"]


def test_that_it_was_made_is_stated(world: World) -> None:
    """Each Subscriber whose key is in it has an entry in the log."""
    backups.note_backup(world.seal, SUBSCRIBER, "ab" * 32, 7, ["release"])
    assert paper.finish(world.seal) == 1
    with world.seal.records.reading(SUBSCRIBER) as tx:
        last = statements.listed(tx)[-1]
    assert (last.said.matter.what, last.said.matter.subject) == ("backup made", "ab" * 32)  # type: ignore[union-attr]


def test_a_log_with_a_hole_is_no_backup(world: World, tmp_path: Path) -> None:
    """It is found when it is made, not when it is needed."""
    world.ask([world.client(0)])
    size = world.checkpoint().size
    (world.directory / "log" / "tile" / "entries" / f"000.p/{size}").unlink()
    with pytest.raises(LogUnavailable, match="is missing"):
        made(world, tmp_path / "made")
