"""What AWS CloudTrail says of the use of keys (CloudTrail API Reference, version 2013-11-01)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.audit import AuditLog

MAX_PAGES = 100
"""Pages of 50 events that are read for one question; AWS gives two a second."""
_KMS = "kms.amazonaws.com"
_S = TypeVar("_S")


class Ask(Protocol):
    """Asks CloudTrail to do something and reads the answer."""

    def __call__(self, action: str, asked: dict[str, object], kind: type[_S], /) -> _S:
        """Ask once, or patiently where it is throttled."""
        ...


class _Status(Struct, frozen=True, rename="pascal"):
    is_logging: bool


class _Trail(Struct, frozen=True):
    arn: str = msgspec.field(name="TrailARN")
    home_region: str = msgspec.field(name="HomeRegion", default="")
    everywhere: bool = msgspec.field(name="IsMultiRegionTrail", default=False)


class _TrailFound(Struct, frozen=True, rename="pascal"):
    trail: _Trail


class _Selector(Struct, frozen=True, rename="pascal"):
    """EventSelector."""

    read_write_type: str = "All"
    include_management_events: bool = True
    exclude_management_event_sources: tuple[str, ...] = ()


class _FieldSelector(Struct, frozen=True, rename="pascal"):
    field: str
    equals: tuple[str, ...] = ()
    not_equals: tuple[str, ...] = ()
    starts_with: tuple[str, ...] = ()
    ends_with: tuple[str, ...] = ()
    not_starts_with: tuple[str, ...] = ()
    not_ends_with: tuple[str, ...] = ()


class _AdvancedSelector(Struct, frozen=True, rename="pascal"):
    field_selectors: tuple[_FieldSelector, ...]


class _Selectors(Struct, frozen=True, rename="pascal"):
    event_selectors: tuple[_Selector, ...] | None = None
    advanced_event_selectors: tuple[_AdvancedSelector, ...] | None = None


class _Event(Struct, frozen=True, rename="pascal"):
    cloud_trail_event: str


class _Page(Struct, frozen=True, rename="pascal"):
    events: tuple[_Event, ...] = ()
    next_token: str | None = None


class _Resource(Struct, frozen=True):
    arn: str = msgspec.field(name="ARN", default="")


class _Use(Struct, frozen=True, rename="camel"):
    """What is read of a record (CloudTrail User Guide, "CloudTrail record contents")."""

    event_source: str
    event_name: str
    event_time: datetime
    error_code: str | None = None
    resources: tuple[_Resource, ...] | None = None


def described(ask: Ask, trail: str, region: str, complete_until: datetime) -> AuditLog:
    """Return what a trail is and what it leaves out of a region (GetTrail, GetTrailStatus, GetEventSelectors)."""
    found = ask("GetTrail", {"Name": trail}, _TrailFound).trail
    on = ask("GetTrailStatus", {"Name": trail}, _Status).is_logging
    selectors = ask("GetEventSelectors", {"TrailName": trail}, _Selectors)
    gaps = [] if _complete(selectors) else [_gap(selectors)]
    if not found.everywhere and found.home_region != region:
        gaps.append(f"The trail does not log what is done in {region}.")
    return AuditLog(source=found.arn, on=on, gaps=tuple(gaps), complete_until=complete_until)


def counted(ask: Ask, since: datetime, until: datetime) -> Counter[str]:
    """Return how often each key of the account, by its id, signed from ``since`` on and before ``until``.

    Misused where there are more uses than are read for one question.
    """
    signed = Counter[str]()
    asked: dict[str, object] = {
        "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "Sign"}],
        "StartTime": int(since.timestamp()),
        "EndTime": int(until.timestamp()) + 1,
        "MaxResults": 50,
    }
    for _ in range(MAX_PAGES):
        page = ask("LookupEvents", asked, _Page)
        for event in page.events:
            use = _use(event.cloud_trail_event)
            if use.event_source == _KMS and use.error_code is None and since <= use.event_time < until:
                keys = {each.arn.rpartition(":key/")[2] for each in use.resources or ()}
                signed.update(keys - {""})
        if page.next_token is None:
            return signed
        asked["NextToken"] = page.next_token
    raise Misused(
        f"CloudTrail has more than {MAX_PAGES * 50} uses of keys in this period.", hint="ask for a shorter one"
    )


def _use(record: str) -> _Use:
    try:
        return msgspec.json.decode(record, type=_Use)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeyStoreUnavailable("CloudTrail has an event that could not be read.") from None


def _complete(selectors: _Selectors) -> bool:
    """Tell whether one selector alone takes every management event, KMS's among them."""
    plain = any(
        each.include_management_events
        and each.read_write_type == "All"
        and _KMS not in each.exclude_management_event_sources
        for each in selectors.event_selectors or ()
    )
    advanced = any(
        [(one.field, one.equals) for one in each.field_selectors] == [("eventCategory", ("Management",))]
        for each in selectors.advanced_event_selectors or ()
    )
    return plain or advanced


def _gap(selectors: _Selectors) -> str:
    excluded = {
        source for each in selectors.event_selectors or () for source in each.exclude_management_event_sources
    } | {
        source
        for each in selectors.advanced_event_selectors or ()
        for one in each.field_selectors
        if one.field == "eventSource"
        for source in one.not_equals
    }
    if _KMS in excluded:
        return "The trail excludes the events of AWS KMS."
    return "No selector of the trail takes all management events, read and write."
