"""What Google's audit log says of the use of keys (Cloud Audit Logs: "Data Access audit logs"; Cloud Logging API v2).

Signatures are *data access*, which Google does not log unless a project is told to. A setting of a folder or an
organisation above the project is not seen here: set it on the project, where it is evident.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from privyseal.errors import Misused
from privyseal.keystore.audit import AuditLog

MAX_PAGES = 100
"""Pages of 1,000 entries that are read for one question; Google gives one a second."""
_TYPES = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")
_SERVICES = ("allServices", "cloudkms.googleapis.com")
_S = TypeVar("_S")


class Ask(Protocol):
    """Asks Google something and reads the answer."""

    def __call__(self, method: str, path: str, asked: object, kind: type[_S], /) -> _S:
        """Ask once, or patiently where it is throttled."""
        ...


class _AuditLogConfig(Struct, frozen=True, rename="camel"):
    log_type: str = ""
    exempted_members: tuple[str, ...] = ()


class _AuditConfig(Struct, frozen=True, rename="camel"):
    service: str = ""
    audit_log_configs: tuple[_AuditLogConfig, ...] = ()


class _Policy(Struct, frozen=True, rename="camel"):
    audit_configs: tuple[_AuditConfig, ...] = ()


class _Exclusion(Struct, frozen=True):
    name: str = ""
    disabled: bool = False


class _Exclusions(Struct, frozen=True):
    exclusions: tuple[_Exclusion, ...] = ()


class _Sink(Struct, frozen=True):
    disabled: bool = False
    exclusions: tuple[_Exclusion, ...] = ()


class _Code(Struct, frozen=True):
    code: int = 0


class _Use(Struct, frozen=True, rename="camel"):
    """What is read of an AuditLog."""

    method_name: str
    resource_name: str
    status: _Code = _Code()


class _Entry(Struct, frozen=True, rename="camel"):
    timestamp: datetime
    proto_payload: _Use


class _Page(Struct, frozen=True, rename="camel"):
    entries: tuple[_Entry, ...] = ()
    next_page_token: str = ""


def described(projects: Ask, logging: Ask, project: str, complete_until: datetime) -> AuditLog:
    """Return what the audit log of a project is and what it leaves out (its IAM policy, its exclusions and sink)."""
    policy = projects("POST", f"/v1/projects/{project}:getIamPolicy", {}, _Policy)
    told = [one for each in policy.audit_configs if each.service in _SERVICES for one in each.audit_log_configs]
    gaps = [
        f"The project does not log {kind} of Cloud KMS."
        for kind in _TYPES
        if not any(one.log_type == kind for one in told)
    ]
    gaps += [
        f"The project's log exempts {len(one.exempted_members)} members from {one.log_type[:40]}."
        for one in told
        if one.exempted_members
    ]
    sink = logging("GET", f"/v2/projects/{project}/sinks/_Default", None, _Sink)
    left_out = (*sink.exclusions, *logging("GET", f"/v2/projects/{project}/exclusions", None, _Exclusions).exclusions)
    gaps += [
        f"The exclusion {name!r} leaves entries out of the project's log."
        for name in sorted({each.name[:80] for each in left_out if not each.disabled})
    ]
    return AuditLog(
        source=f"projects/{project}/logs/cloudaudit.googleapis.com%2Fdata_access",
        on=not sink.disabled and any(one.log_type == "DATA_READ" for one in told),
        gaps=tuple(gaps),
        complete_until=complete_until,
    )


def counted(logging: Ask, key_ring: str, since: datetime, until: datetime) -> Counter[str]:
    """Return how often each key version of a ring, by its name, signed from ``since`` on and before ``until``.

    Misused where there are more uses than are read for one question.
    """
    signed = Counter[str]()
    project = key_ring.split("/")[1]
    asked: dict[str, object] = {
        "resourceNames": [f"projects/{project}"],
        "filter": (
            f'logName="projects/{project}/logs/cloudaudit.googleapis.com%2Fdata_access"'
            f' AND protoPayload.methodName="AsymmetricSign" AND protoPayload.resourceName:"{key_ring}/"'
            f' AND timestamp>="{_time(since)}" AND timestamp<"{_time(until)}"'
        ),
        "orderBy": "timestamp asc",
        "pageSize": 1000,
    }
    for _ in range(MAX_PAGES):
        page = logging("POST", "/v2/entries:list", asked, _Page)
        for each in page.entries:
            use = each.proto_payload
            if use.method_name == "AsymmetricSign" and use.status.code == 0 and since <= each.timestamp < until:
                signed[use.resource_name] += 1
        if not page.next_page_token:
            return signed
        asked["pageToken"] = page.next_page_token
    raise Misused(
        f"Google's log has more than {MAX_PAGES * 1000} uses of keys in this period.", hint="ask for a shorter one"
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
