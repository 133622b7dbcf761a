"""Documents are what their names say, or are not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from privyseal.errors import BadInput, NotFound, TooLarge, Unavailable
from privyseal.records.documents import DRAFT_SECONDS, Documents

OCTETS = b"what was agreed " * 1000
SHA256 = hashlib.sha256(OCTETS).hexdigest()


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path / "evidence", 20_000, spare=0)


def _keep(documents: Documents, octets: bytes = OCTETS, sha256: str = SHA256) -> None:
    with documents.draft(sha256) as draft:
        for at in range(0, len(octets), 999):
            draft.append(octets[at : at + 999])
        draft.keep()


def test_a_document_comes_in_pieces_and_twice(documents: Documents) -> None:
    """It has its name only when it is whole, for its owner alone; a second time nothing changes."""
    assert documents.size(SHA256) is None
    _keep(documents)
    _keep(documents)
    assert documents.size(SHA256) == len(OCTETS)
    assert _files(documents.directory) == [SHA256]
    fd = documents.open(SHA256)
    assert os.read(fd, 1 << 20) == OCTETS
    assert os.fstat(fd).st_mode & 0o777 == 0o600
    os.close(fd)


def test_other_octets_than_announced_leave_nothing(documents: Documents) -> None:
    with pytest.raises(BadInput, match="was announced"):
        _keep(documents, OCTETS + b"!")
    with pytest.raises(TooLarge, match="20000 octets"):
        _keep(documents, bytes(20_001))
    with documents.draft(SHA256) as draft:
        draft.append(OCTETS)
    assert _files(documents.directory) == []
    with pytest.raises(NotFound):
        documents.open(SHA256)


@pytest.mark.parametrize("name", ["", "ab", SHA256.upper(), "../" + SHA256, SHA256 + "\n", "g" * 64, "." * 64])
def test_a_name_that_is_no_digest_leads_nowhere(documents: Documents, name: str) -> None:
    for ask in (documents.open, documents.size, documents.draft):
        with pytest.raises(NotFound):
            ask(name)


def test_a_link_in_the_folder_is_not_followed(documents: Documents, tmp_path: Path) -> None:
    _keep(documents)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    documents.path(SHA256).unlink()
    documents.path(SHA256).symlink_to(secret)
    with pytest.raises(Unavailable):
        documents.open(SHA256)


def test_what_a_crash_left_is_swept_when_it_is_old(documents: Documents) -> None:
    _keep(documents)
    folder = documents.path(SHA256).parent
    old, young = folder / ".old.draft", folder / ".young.draft"
    for each in (old, young):
        each.write_bytes(b"x")
    os.utime(old, (1, os.stat(young).st_mtime - DRAFT_SECONDS - 1))
    documents.draft(SHA256).close()
    assert _files(documents.directory) == sorted([young.name, SHA256])


def test_a_full_disk_is_told_before_anything_comes(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no room"):
        Documents(tmp_path / "evidence", 1 << 62).draft(SHA256)
