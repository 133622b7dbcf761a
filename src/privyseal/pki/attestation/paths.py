"""The path from an attestation to a maker's pinned root: names, signatures, dates, and who may issue.

Dates are judged at the moment that is asked about: every certificate below the root must be in force then. An expired
one is named and refused, also where the device it speaks for has long outlived it; who wants to know what it proved
when it was in force asks as of then. The root's own dates do not matter: it is trusted because it was pinned, as RFC
5280 6.1.1 (d) has a trust anchor. Makers publish no revocation lists for devices, so none is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki.attestation import devices
from privyseal.pki.attestation.devices import DeviceCertificate

MOST_BETWEEN = 8
"""Certificates between an attestation and its root; the longest known, of a YubiKey 5.7.4, has 3."""
MOST_CHECKS = 100
"""Signatures checked in looking for a path, as in ``chain.MAX_CHECKS``."""

Path = tuple[DeviceCertificate, ...]
"""Certificates from an attestation to its root, each followed by its issuer."""

_UNDERSTOOD = frozenset(
    {
        devices.BASIC_CONSTRAINTS,
        devices.KEY_USAGE,
        devices.EXTENDED_KEY_USAGE,
        "2.5.29.14",  # subjectKeyIdentifier
        "2.5.29.35",  # authorityKeyIdentifier
        "2.5.29.32",  # certificatePolicies: makers' own, which decide nothing here
    }
)


def require_kind(path: Path, foreign: str) -> None:
    """Require that no certificate of a path speaks in the OID arc ``foreign``, that of a maker's other devices.

    One root may stand above several kinds of device, and each vouches for keys of its own kind only.
    """
    for each in path:
        if any(oid.startswith(f"{foreign}.") for oid in each.extensions):
            raise VerificationFailed(f"The certificate {each.name!r} is of a device of another kind.")


def read_all(octets: Iterable[bytes]) -> list[DeviceCertificate]:
    """Read certificates, each once; BadInput for one that is not shaped like one."""
    return [devices.read(each) for each in dict.fromkeys(octets)]


def to_anchor(
    leaf: DeviceCertificate,
    others: Sequence[DeviceCertificate],
    anchors: Sequence[DeviceCertificate],
    at: datetime,
    understood: frozenset[str] = frozenset(),
) -> Path:
    """Return the path from ``leaf`` to one of ``anchors``, leaf first and the anchor last.

    ``others`` stand in any order and may hold strangers. ``understood`` are critical extensions, dotted OIDs, that the
    format reads itself. VerificationFailed where there is no path that holds, with what is wrong with the nearest.
    """
    require_whole([leaf, *others], anchors)
    wrong: VerificationFailed | None = None
    for path in _paths(leaf, others, anchors):
        try:
            _judge(path, at, understood)
        except VerificationFailed as error:
            wrong = wrong or error
        else:
            return path
    raise wrong or VerificationFailed(
        f"No path leads from the attestation {leaf.name!r} to a pinned root of its maker.",
        hint="give the certificates between them too; `--anchors` pins a further root",
    )


def require_whole(bag: Sequence[DeviceCertificate], anchors: Sequence[DeviceCertificate]) -> None:
    """Raise VerificationFailed for a certificate that is signed by none of those that bear its issuer's name.

    A stranger whose issuer is not there is let be: nothing can be said of it. One that bears an anchor's name must be
    that anchor, or signed with its key, as a root that was issued anew is.
    """
    by_subject = _by_subject([*anchors, *bag])
    pinned = {(each.subject, each.spki) for each in anchors}
    named = {each.subject for each in anchors}
    known = {each.der for each in anchors}
    for each in bag:
        if each.der in known:
            continue
        above = by_subject.get(each.issuer, [])
        if above and not any(devices.issued(each, one, outdated=True) for one in above):
            raise VerificationFailed(
                f"The certificate {each.name!r} is damaged, or of another device: no certificate that bears its"
                " issuer's name has signed it."
            )
        if each.subject in named and (not above or (each.subject, each.spki) not in pinned):
            raise VerificationFailed(f"The certificate {each.name!r} bears the name of a pinned root, and is not it.")


def _paths(
    leaf: DeviceCertificate, others: Sequence[DeviceCertificate], anchors: Sequence[DeviceCertificate]
) -> Iterator[Path]:
    """Find paths from leaf to anchor, shortest first, checking at most ``MOST_CHECKS`` signatures."""
    by_subject = _by_subject([*anchors, *others])
    pinned = {each.der for each in anchors}
    checks = MOST_CHECKS
    waiting: list[Path] = [(leaf,)]
    while waiting:
        path = waiting.pop(0)
        for candidate in by_subject.get(path[-1].issuer, ()):
            if candidate in path or len(path) > MOST_BETWEEN:
                continue
            checks -= 1
            if checks < 0:
                return
            if not devices.issued(path[-1], candidate):
                continue
            if candidate.der in pinned:
                yield (*path, candidate)
            else:
                waiting.append((*path, candidate))


def _by_subject(bag: Iterable[DeviceCertificate]) -> Mapping[bytes, list[DeviceCertificate]]:
    found: dict[bytes, list[DeviceCertificate]] = {}
    for each in bag:
        same = found.setdefault(each.subject, [])
        if each not in same:
            same.append(each)
    return found


def _judge(path: Path, at: datetime, understood: frozenset[str]) -> None:
    """Judge dates, who may issue, and what is critical, of all but the anchor (RFC 5280 6.1)."""
    for place, each in enumerate(path[:-1]):
        if at > each.not_after:
            raise VerificationFailed(
                f"The certificate {each.name!r} expired on {each.not_after:%Y-%m-%d}, before {at:%Y-%m-%d}.",
                hint="`--at` asks as of a day on which it was in force",
            )
        if at < each.not_before:
            raise VerificationFailed(
                f"The certificate {each.name!r} is in force from {each.not_before:%Y-%m-%d}, after {at:%Y-%m-%d}."
            )
        for oid, extension in each.extensions.items():
            if extension.critical and oid not in _UNDERSTOOD | understood:
                raise VerificationFailed(f"The certificate {each.name!r} has the unknown critical extension {oid}.")
        if place > 0:
            _require_issuer(each, place - 1)
    if path[-1].path_length is not None:
        _require_issuer(path[-1], len(path) - 2)


def _require_issuer(certificate: DeviceCertificate, below: int) -> None:
    """Require that a certificate may issue with ``below`` CAs between it and the leaf."""
    try:
        fit = certificate.may_issue
        length = certificate.path_length
    except BadInput as error:
        raise VerificationFailed(f"The certificate {certificate.name!r}: {error.detail}") from None
    if not fit:
        raise VerificationFailed(f"The certificate {certificate.name!r} is not a CA's, so it can attest nothing.")
    if length is not None and below > length:
        raise VerificationFailed(
            f"The certificate {certificate.name!r} allows {length} CAs below it, and {below} stand there."
        )
