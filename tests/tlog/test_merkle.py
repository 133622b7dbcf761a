"""The tree is RFC 6962's: known answers, the definition written down again, and what no wrong proof may pass."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from privyseal.tlog import merkle
from privyseal.tlog.log import EMPTY, append

CT_INPUTS = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""Leaves and roots that the Certificate Transparency implementations have tested each other with since 2012."""
LARGEST = 300


# -- the definition, as RFC 6962 section 2.1 writes it, with D[n] = the number n in text -----------------------------
def _leaf(n: int) -> bytes:
    return hashlib.sha256(b"\x00" + str(n).encode()).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _k(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@cache
def _mth(start: int, end: int) -> bytes:
    n = end - start
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return _leaf(start)
    return _node(_mth(start, start + _k(n)), _mth(start + _k(n), end))


def _path(m: int, start: int, end: int) -> list[bytes]:
    n = end - start
    if n == 1:
        return []
    k = _k(n)
    if m < k:
        return [*_path(m, start, start + k), _mth(start + k, end)]
    return [*_path(m - k, start + k, end), _mth(start, start + k)]


def _subproof(m: int, start: int, end: int, whole: bool) -> list[bytes]:
    n = end - start
    if m == n:
        return [] if whole else [_mth(start, end)]
    k = _k(n)
    if m <= k:
        return [*_subproof(m, start, start + k, whole), _mth(start + k, end)]
    return [*_subproof(m - k, start + k, end, False), _mth(start, start + k)]


def _subtree(level: int, index: int) -> bytes:
    return _mth(index << level, (index + 1) << level)


# -- roots ------------------------------------------------------------------------------------------------------------
def test_the_known_roots() -> None:
    """Eight trees, whose roots everybody agrees on, come out as they should, appended one by one or together."""
    for size, root in enumerate(CT_ROOTS, start=1):
        assert append(EMPTY, CT_INPUTS[:size])[2].root.hex() == root
    state = EMPTY
    for entry, root in zip(CT_INPUTS, CT_ROOTS, strict=True):
        state, _, head = append(state, [entry])
        assert head.root.hex() == root
    assert EMPTY.head.root == merkle.EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_a_known_path() -> None:
    """The audit path of the sixth of the eight known leaves is the one that is known."""
    leaves = [merkle.leaf_hash(each) for each in CT_INPUTS]

    def subtree(level: int, index: int) -> bytes:
        return leaves[index] if level == 0 else _node(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))

    path = merkle.inclusion(5, 8, subtree)
    assert [each.hex() for each in path] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert merkle.verify_inclusion(leaves[5], 5, 8, path, bytes.fromhex(CT_ROOTS[7]))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 1000, 65535, 65536, 65537])
def test_pymerkle_agrees(size: int) -> None:
    """A library that others wrote computes the same root from the same entries."""
    entries = [b"entry %d" % n for n in range(size)]
    tree = InmemoryTree(algorithm="sha256")
    for entry in entries:
        tree.append_entry(entry)
    assert append(EMPTY, entries)[2].root == tree.get_root(size)


# -- proofs -----------------------------------------------------------------------------------------------------------
def test_every_proof_of_small_trees_is_the_definition_s() -> None:
    """Up to 70 leaves every root, path and consistency proof is, hash by hash, the definition's, and verifies."""
    for size in range(1, 71):
        root = _mth(0, size)
        assert merkle.root(size, _subtree) == root
        for index in range(size):
            path = merkle.inclusion(index, size, _subtree)
            assert list(path) == _path(index, 0, size)
            assert merkle.verify_inclusion(_leaf(index), index, size, path, root)
        for old in range(1, size + 1):
            proof = merkle.consistency(old, size, _subtree)
            assert list(proof) == _subproof(old, 0, size, True)
            assert merkle.verify_consistency(old, size, proof, _mth(0, old), root)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, LARGEST))
def test_every_leaf_of_a_tree_is_proven(size: int) -> None:
    """Whatever the size, every leaf's path is the definition's and verifies."""
    for index in range(size):
        path = merkle.inclusion(index, size, _subtree)
        assert list(path) == _path(index, 0, size)
        assert merkle.verify_inclusion(_leaf(index), index, size, path, _mth(0, size))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, LARGEST))
def test_every_earlier_tree_is_proven(new: int) -> None:
    """Whatever the size, its consistency with every tree before it is the definition's and verifies."""
    for old in range(new + 1):
        proof = merkle.consistency(old, new, _subtree)
        assert list(proof) == ([] if old == 0 else _subproof(old, 0, new, True))
        assert merkle.verify_consistency(old, new, proof, _mth(0, old), _mth(0, new))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_bit_passes_for_inclusion(data: st.DataObject) -> None:
    """A bit flipped anywhere in leaf, path or root, or another place in the tree, is refused."""
    size = data.draw(st.integers(1, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    path, root = merkle.inclusion(index, size, _subtree), _mth(0, size)
    parts = [_leaf(index), root, *path]
    which, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 255))
    parts[which] = _flipped(parts[which], bit)
    assert not merkle.verify_inclusion(parts[0], index, size, parts[2:], parts[1])
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index)) if size > 1 else None
    if other is not None:
        assert not merkle.verify_inclusion(_leaf(index), other, size, path, root)
    assert not merkle.verify_inclusion(_leaf(index), size, size, path, root)
    assert not merkle.verify_inclusion(_leaf(index), -1, size, path, root)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_bit_passes_for_consistency(data: st.DataObject) -> None:
    """A bit flipped anywhere in proof or roots is refused."""
    new = data.draw(st.integers(1, LARGEST))
    old = data.draw(st.integers(0, new))
    parts = [_mth(0, old), _mth(0, new), *merkle.consistency(old, new, _subtree)]
    which, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 255))
    if old == 0 and which == 1:
        return  # the empty tree is extended by any tree
    parts[which] = _flipped(parts[which], bit)
    assert not merkle.verify_consistency(old, new, parts[2:], parts[0], parts[1])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_longer_or_shorter_proof_passes(data: st.DataObject) -> None:
    """A hash left out, repeated or added anywhere is refused, and so is one that is not 32 octets long."""
    size = data.draw(st.integers(2, LARGEST))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    root, old_root = _mth(0, size), _mth(0, old)
    path, proof = merkle.inclusion(index, size, _subtree), merkle.consistency(old, size, _subtree)
    for given_path in _altered(data, path):
        assert not merkle.verify_inclusion(_leaf(index), index, size, given_path, root)
    for given_proof in _altered(data, proof):
        assert not merkle.verify_consistency(old, size, given_proof, old_root, root)


def test_what_only_the_shape_gives_away() -> None:
    """Paths that hash to the root that is claimed, but not by way of a leaf at that place in a tree of that size."""
    root, path = _mth(0, 8), merkle.inclusion(0, 8, _subtree)
    inner = _mth(0, 2)
    assert not merkle.verify_inclusion(inner, 0, 8, path[1:], root), "an inner node is no leaf"
    for further in (_node(root, bytes(32)), _node(bytes(32), root)):
        assert not merkle.verify_inclusion(_leaf(0), 0, 8, (*path, bytes(32)), further), "a tree of 8 has no level more"
    glued = _leaf(0) + path[0][:1]
    assert not merkle.verify_inclusion(glued, 0, 8, (path[0][1:], *path[1:]), root), "a hash is 32 octets"
    proof = merkle.consistency(8, 16, _subtree)
    further = _node(_mth(0, 16), bytes(32))
    assert not merkle.verify_consistency(8, 16, (*proof, bytes(32)), root, further)
    assert not merkle.verify_consistency(8, 8, (bytes(32),), root, root), "equal trees need no proof"
    assert not merkle.verify_consistency(8, 16, (), root, root)


def test_sizes_that_cannot_be() -> None:
    """Proofs of and about trees that do not exist are neither computed nor believed."""
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="no leaf"):
            merkle.inclusion(index, size, _subtree)
        assert not merkle.verify_inclusion(_leaf(0), index, size, (), _leaf(0))
    for old, new in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="cannot extend"):
            merkle.consistency(old, new, _subtree)
        assert not merkle.verify_consistency(old, new, (), _mth(0, 5), _mth(0, 5))
    assert not merkle.verify_consistency(0, 5, (), _leaf(1), _mth(0, 5)), "the empty tree has one root"
    assert not merkle.verify_consistency(0, 5, (_leaf(1),), merkle.EMPTY_ROOT, _mth(0, 5)), "and needs no proof"
    assert not merkle.verify_consistency(3, 5, (), _mth(0, 3), _mth(0, 5)), "an empty proof proves nothing"


def test_hostile_lengths_end_at_once() -> None:
    """A path of a million hashes is refused, and a tree of 2**62 leaves is spoken of in 63 hashes."""
    million = [bytes(32)] * 1_000_000
    assert not merkle.verify_inclusion(_leaf(0), 0, 2**62, million, _leaf(1))
    assert not merkle.verify_consistency(1, 2**62, million, _leaf(0), _leaf(1))
    largest = 2**62
    flat = merkle.inclusion(largest // 3, largest, lambda level, index: bytes(32))
    assert len(flat) <= merkle.LONGEST_PROOF
    assert len(merkle.consistency(largest // 3, largest, lambda level, index: bytes(32))) <= merkle.LONGEST_PROOF


def _flipped(octets: bytes, bit: int) -> bytes:
    return (int.from_bytes(octets, "big") ^ 1 << bit).to_bytes(len(octets), "big")


def _altered(data: st.DataObject, path: tuple[bytes, ...]) -> list[list[bytes]]:
    at = data.draw(st.integers(0, len(path) - 1))
    return [
        [*path[:at], *path[at + 1 :]],
        [*path[:at], path[at], *path[at:]],
        [*path, bytes(32)],
        [*path[:at], path[at][:31], *path[at + 1 :]],
        [*path[:at], path[at] + b"\0", *path[at + 1 :]],
    ]
