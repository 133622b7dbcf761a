"""The check of a whole log finds everything that is wrong, names it, and finds nothing in a sound one."""

from __future__ import annotations

import random
import re
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from tests.tlog.growing import LOG, Grown, checkpoint_of, grown, story, verifier

from privyseal.tlog import audit
from privyseal.tlog.audit import Finding, fsck
from privyseal.tlog.entry import Completion, Entry, Intent, Statement, encode
from privyseal.tlog.log import Head
from privyseal.tlog.tiles import edge, entries_path, tile_path, width_at

SEED = 20_260_101


def _kept(log: Grown) -> Callable[[str], list[int]]:
    """Return what lists the partials of a tile that the log still has."""
    widths: dict[str, list[int]] = {}
    for path in log.files:
        full, _, width = path.partition(".p/")
        if width:
            widths.setdefault(full, []).append(int(width))
    return lambda full: widths.get(full, [])


def _checked(log: Grown, note: bytes | None = None, kept: bool = False) -> list[Finding]:
    note = checkpoint_of(log.head) if note is None else note
    return list(fsck(log.read, note, LOG, _kept(log) if kept else None))


def _problems(log: Grown, note: bytes | None = None, kept: bool = False) -> list[Finding]:
    return [each for each in _checked(log, note, kept) if each.severity == "problem"]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 66_100])
def test_a_sound_log(size: int) -> None:
    """Nothing is wrong with a log that grew as it should; what is under way is a warning."""
    log = grown(sorted({size // 3, size // 2, size}))
    findings = _checked(log, kept=True)
    assert [each for each in findings if each.severity == "problem"] == []
    assert {each.code for each in findings} <= {"intent-open"}


def test_a_partial_that_is_removed_meanwhile_is_no_problem() -> None:
    """A logger at work removes partials whose tile became full, perhaps between the listing and the reading."""
    log = grown([100, 300])
    gone = [path for path in log.files if path.startswith(("tile/0/000.p/", "tile/entries/000.p/"))]
    kept = _kept(log)
    assert len(gone) == 2 and kept("tile/0/000") == [100]
    for path in gone:
        del log.files[path]
    assert [each for each in fsck(log.read, checkpoint_of(log.head), LOG, kept) if each.severity == "problem"] == []


def _stored(log: Grown) -> list[str]:
    """Name every file that the newest head needs."""
    size = log.head.size
    names = [entries_path(n, width_at(size, 0, n)) for n in range(-(-size // 256))]
    level = 0
    while size >> 8 * level:
        tiles = -(-(size >> 8 * level) // 256)
        names += [tile_path(level, n, width_at(size, level, n)) for n in range(tiles)]
        level += 1
    return names


@pytest.mark.parametrize("flips", [300, pytest.param(1000, marks=pytest.mark.nightly)])
def test_a_thousand_flipped_bits(flips: int) -> None:
    """Of 1,000 flips, each in one bit of one stored file or of the checkpoint, every one is found, and named."""
    log = grown([100, 640, 700])
    names, chance = _stored(log), random.Random(SEED)
    assert {tile_path(*each) for each in edge(700)} <= set(names)
    note = checkpoint_of(log.head)
    for _ in range(flips - 50):
        path = chance.choice(names)
        whole = log.files[path]
        log.files[path] = _flipped(whole, chance)
        found = _problems(log)
        assert len(found) == 1, f"a flipped bit in {path} is one finding: {found}"
        assert path in found[0].text
        log.files[path] = whole
    for _ in range(50):
        assert _problems(log, _flipped(note, chance))[0].path == "checkpoint"
    assert _problems(log) == []


def test_flipped_bits_in_three_levels() -> None:
    """In a log of 65,536 entries and more, a bit flipped in an upper tile is one finding, which says where."""
    log = grown([66_000])
    chance = random.Random(SEED + 1)
    assert {"tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"} <= set(log.files)
    for path, code in (
        ("tile/1/000", "node-differs"),
        ("tile/1/001.p/1", "node-differs"),
        ("tile/2/000.p/1", "node-differs"),
        ("tile/0/077", "leaf-differs"),
        ("tile/entries/200", None),  # in a length, or in an entry
    ):
        whole = log.files[path]
        log.files[path] = _flipped(whole, chance)
        found = _problems(log)
        assert all(path in each.text for each in found), found
        assert [each.code for each in found] in ([[code]] if code else [["file-malformed"], ["leaf-differs"]])
        log.files[path] = whole


def test_partials_of_earlier_heads() -> None:
    """Where the store can say which older partials it keeps, they are checked as well."""
    log = grown([10, 100, 300, 500, 700])
    chance = random.Random(SEED + 2)
    old = sorted(set(log.files) - set(_stored(log)))
    assert len(old) >= 8
    for path in old:
        whole = log.files[path]
        log.files[path] = _flipped(whole, chance)
        assert _problems(log) == [], "without the list nobody can know of it"
        found = _problems(log, kept=True)
        assert [(each.code, each.path) for each in found] == [("partial-differs", path)]
        log.files[path] = whole
    assert _problems(log, kept=True) == []


def test_missing_and_malformed_files() -> None:
    """Each file that is gone, cut or too long is named, once for each, and hides nothing else."""
    log = grown([700])
    for path in _stored(log):
        whole = log.files.pop(path)
        assert [(each.code, each.path) for each in _problems(log)] == [("file-missing", path)]
        for wrong in (whole[:-1], whole + b"\0", b""):
            log.files[path] = wrong
            assert [(each.code, each.path) for each in _problems(log)] == [("file-malformed", path)]
        log.files[path] = whole
    for path in ("tile/0/000", "tile/entries/002.p/188"):
        del log.files[path]
    assert {each.path for each in _problems(log)} == {"tile/0/000", "tile/entries/002.p/188"}


def test_a_tile_that_is_gone_with_its_entries() -> None:
    """What cannot be computed is taken from the tile above, so the rest is still checked against the root."""
    log = grown([66_000])
    for path in ("tile/0/100", "tile/entries/100"):
        del log.files[path]
    found = _problems(log)
    assert {each.path for each in found if each.code == "file-missing"} == {"tile/0/100", "tile/entries/100"}
    assert "root-differs" not in {each.code for each in found}, "the tile above knew its root"


def test_a_log_that_was_cut_off() -> None:
    """A head that promises more than there is ends the walk after a while, however much it promises."""
    log = grown([700])
    note = checkpoint_of(Head(2**62, bytes(32)))
    found = _problems(log, note)
    assert len(found) < 50
    assert found[-1].code == "file-missing"
    assert "none was checked" in found[-1].text


def test_another_root() -> None:
    """A log whose every file is sound, but which is not the one that was signed."""
    log = grown([700], seed=2)
    found = _problems(log, checkpoint_of(grown([700], seed=3).head))
    assert [each.code for each in found] == ["root-differs"]


def test_what_is_no_checkpoint() -> None:
    """A head that nobody signed is said to be one; what it says is compared all the same, if it says anything."""
    log = grown([300])
    assert [each.code for each in _problems(log, b"hello")] == ["checkpoint-unreadable"]
    stranger = list(fsck(log.read, checkpoint_of(log.head), verifier("stranger")))
    assert [each.code for each in stranger if each.severity == "problem"] == ["checkpoint-unreadable"]
    flipped = checkpoint_of(log.head).replace(b"\n300\n", b"\n299\n")
    codes = [each.code for each in _problems(log, flipped)]
    assert codes[0] == "checkpoint-unreadable"
    assert len(codes) > 1


def _logged(entries: list[bytes]) -> Grown:
    log = Grown()
    log.append(entries)
    return log


TAG, OTHER = "ab" * 32, "cd" * 32
STATEMENT = Statement(about="evidence", commitment=bytes(32))


def _intent(seq: int, tag: str = TAG) -> Entry:
    return Intent(verb="sign", key_tag=tag, key_seq=seq, uses=1, commitment=bytes(32))


def _completion(intent: int, tag: str = TAG) -> Entry:
    return Completion(key_tag=tag, intent=intent, outcome="signed", commitment=bytes(32))


@pytest.mark.parametrize(("entries", "expected"), [
    ([_intent(0), _completion(0)], []),
    ([_intent(0), _intent(0, OTHER), _intent(1), _completion(2), _completion(0), _completion(1, OTHER)], []),
    ([_intent(0)], [("intent-open", 0)]),
    ([_intent(0), _intent(1), _completion(1)], [("intent-open", 0)]),
    ([_intent(1), _completion(0)], [("key-sequence", 0)]),
    ([_intent(0), _completion(0), _intent(2), _completion(2)], [("key-sequence", 2)]),
    ([_intent(0), _completion(0), _intent(0), _completion(2)], [("key-sequence", 2)]),
    ([_intent(0), _intent(2), _intent(1), _completion(0), _completion(1), _completion(2)],
     [("key-sequence", 1), ("key-sequence", 2)]),
    ([_intent(0), _intent(1), _intent(0), _intent(2), *map(_completion, range(4))], [("key-sequence", 2)]),
    ([_intent(0), _completion(0), _completion(0)], [("completed-twice", 2)]),
    ([_completion(0)], [("completion-of-nothing", 0)]),
    ([_completion(1), _intent(0)], [("completion-of-nothing", 0), ("intent-open", 1)]),
    ([_intent(0), _completion(0), _completion(1)], [("completion-of-nothing", 2)]),
    ([_completion(10**9)], [("completion-of-nothing", 0)]),
    ([_intent(0), _completion(0, OTHER)], [("completion-of-another-key", 1)]),
    ([STATEMENT, _intent(0), STATEMENT, _completion(1), STATEMENT], []),
    ([STATEMENT, _completion(0)], [("completion-of-nothing", 1)]),
])  # fmt: skip
def test_what_entries_say_of_each_other(entries: list[Entry], expected: list[tuple[str, int]]) -> None:
    """Sequences without gaps, one completion for each intent: every departure has its own code and its entry."""
    findings = _checked(_logged(list(map(encode, entries))))
    assert [(each.code, each.index) for each in findings] == expected
    for each in findings:
        assert (each.severity == "warning") == (each.code == "intent-open")
        assert each.path == f"tile/entries/000.p/{len(entries)}"
        assert re.search(rf"\b{each.index}\b", each.text)


def test_entries_that_are_none() -> None:
    """Whatever else stands in the log, however sound its tree, is named by its index."""
    sound = encode(_intent(0))
    log = _logged([sound, b"", b"hello", sound + b" ", encode(_completion(0))])
    assert [(each.code, each.index) for each in _checked(log)] == [("entry-malformed", n) for n in (1, 2, 3)]


def test_more_than_can_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log made to fill the memory is told so once, and its tree is still checked."""
    monkeypatch.setattr(audit, "MAX_TRACKED", 10)
    log = _logged([encode(_intent(n)) for n in range(20)])
    found = _checked(log)
    assert [(each.code, each.index) for each in found] == [("too-many", 10)]
    log.files["tile/0/000.p/20"] = bytes(640)
    assert len(_checked(log)) > 20


def test_findings_are_data() -> None:
    """A finding travels as JSON as it is."""
    found = Finding("leaf-differs", "problem", "tile/entries/000", 3, "A sentence.")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Finding) == found


def test_memory_is_bounded() -> None:
    """While a log of 20,000 entries is checked, no more than a few tiles of it are held."""
    log = grown([20_000])
    note, bundles = checkpoint_of(log.head), dict(log.files)
    tracemalloc.start()
    try:
        assert [each for each in fsck(bundles.get, note, LOG) if each.severity == "problem"] == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000, f"{peak} octets, for {sum(map(len, bundles.values()))} of log"


def test_a_story_is_a_sound_log() -> None:
    """The entries these tests are told are what a service writes."""
    entries = story(9)
    assert all(isinstance(next(entries), Intent | Completion) for _ in range(100))


def _flipped(octets: bytes, chance: random.Random) -> bytes:
    bit = chance.randrange(len(octets) * 8)
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
