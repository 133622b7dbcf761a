"""Merkle trees of RFC 6962 section 2.1: integers and octets in, octets out.

A *complete subtree* is named by ``level`` and ``index``: it spans the leaves from ``index << level`` to before
``(index + 1) << level``, so level 0 holds the leaf hashes themselves. Whoever computes a root or a proof hands in a
function that returns the hash of a complete subtree; nothing here knows where such hashes are kept.

All hashes are 32 octets, SHA-256. Sizes are below 2**63, as everywhere in C2SP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_SIZE = 32
"""Octets of SHA-256."""
EMPTY_ROOT = hashlib.sha256().digest()
"""Root of a tree without leaves (RFC 6962 2.1): SHA-256 of nothing."""
LONGEST_PROOF = 63
"""Hashes in the longest proof of a tree of up to 2**62 leaves; tlog-witness sets the same limit."""

Subtree = Callable[[int, int], bytes]
"""Returns the hash of the complete subtree at (level, index)."""

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry: SHA-256 over a zero octet and the entry."""
    return _sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 over the octet 1 and both children."""
    return _sha256(b"\1" + left + right).digest()


def parents(nodes: Sequence[bytes]) -> list[bytes]:
    """Return the hash above each two nodes, from left to right; one that is left over has none yet."""
    sha256 = _sha256
    return [sha256(b"\1" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=False)]


def fold(peaks: Sequence[bytes]) -> bytes:
    """Return the root above the complete subtrees that make up a tree, given from left to right."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def peaks(start: int, end: int) -> list[tuple[int, int]]:
    """Name the complete subtrees, largest first, that make up the leaves from ``start`` to before ``end``.

    ``start`` is a multiple of a power of two that is at least ``end - start``, as where RFC 6962 splits a tree.
    """
    found = []
    for level in reversed(range((end - start).bit_length())):
        if (end - start) >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def span(start: int, end: int, subtree: Subtree) -> bytes:
    """Return MTH(D[start:end]); ``start`` as for :func:`peaks`."""
    return fold([subtree(level, index) for level, index in peaks(start, end)])


def root(size: int, subtree: Subtree) -> bytes:
    """Return the root of the tree of the first ``size`` leaves."""
    return span(0, size, subtree)


def inclusion(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 6962 2.1.1).

    It begins with the leaf's sibling. ValueError if there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return inclusion_above(index, 0, size, subtree)


def peak_level(index: int, size: int) -> int:
    """Return the level of that complete subtree, of those that make up the tree, which leaf ``index`` is in.

    Size and index have the same bits above it; there the size has its one and the index a zero.
    """
    return (index ^ size).bit_length() - 1


def inclusion_above(index: int, level: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the part of a leaf's audit path that begins at ``level``, which is at most its :func:`peak_level`.

    Leaves that are in one complete subtree of that level have this part in common.
    """
    peak = peak_level(index, size)
    path = [subtree(at, index >> at ^ 1) for at in range(level, peak)]
    right = size >> peak << peak
    if right < size:
        path.append(span(right, size, subtree))
    path += [subtree(at, (size >> at) - 1) for at in range(peak + 1, size.bit_length()) if size >> at & 1]
    return tuple(path)


def consistency(old: int, new: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the proof that the tree of ``new`` leaves extends the one of ``old`` (RFC 6962 2.1.2).

    Empty when nothing needs proof: both are the same size, or the old one is the empty tree (tlog-witness). ValueError
    if the old one is the larger.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves cannot extend one of {old}")
    if old == 0:
        return ()
    path = []
    low, high = 0, new
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(span(middle, high, subtree))
            high = middle
        else:
            path.append(span(low, middle, subtree))
            low = middle
    if low:  # otherwise the old tree is itself a subtree of the new one, and its root is known to the verifier
        path.append(span(low, high, subtree))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether ``path`` leads from the leaf hash at ``index`` to the root of ``size`` leaves (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *path):
        return False
    place, last, sha256 = index, size - 1, _sha256
    computed = leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            computed = sha256(b"\1" + sibling + computed).digest()
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            computed = sha256(b"\1" + computed + sibling).digest()
        place >>= 1
        last >>= 1
    return last == 0 and computed == root


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Tell whether ``path`` shows that the tree of ``new`` leaves extends the one of ``old`` (RFC 9162 2.1.4.2).

    The empty tree, and a tree of the same size and root, need no proof, and then none may be given.
    """
    if not 0 <= old <= new or not _are_hashes(old_root, new_root, *path):
        return False
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    if not path:
        return False
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    place, last = old - 1, new - 1
    while place & 1:
        place >>= 1
        last >>= 1
    computed_old = computed_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            computed_old = node_hash(sibling, computed_old)
            computed_new = node_hash(sibling, computed_new)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            computed_new = node_hash(computed_new, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and computed_old == old_root and computed_new == new_root


def _split(count: int) -> int:
    """Return the largest power of two below ``count``, where RFC 6962 splits a tree of ``count`` >= 2 leaves."""
    return 1 << (count - 1).bit_length() - 1


def _are_hashes(*octets: bytes) -> bool:
    return set(map(len, octets)) == {HASH_SIZE}
