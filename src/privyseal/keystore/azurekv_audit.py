"""What Azure's audit log says of the use of keys ("Azure Key Vault logging"; Azure Monitor Log Analytics API, v1).

A vault logs nothing until a diagnostic setting sends its audit events somewhere; we read them where a Log Analytics
workspace has them, in the table of its own (AZKVAuditLogs) or in the common one (AzureDiagnostics).
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable
from privyseal.keystore.audit import AuditLog

_SETTINGS = "/providers/Microsoft.Insights/diagnosticSettings?api-version=2021-05-01-preview"
_GROUPS = frozenset({"audit", "alllogs"})
_S = TypeVar("_S")


class Ask(Protocol):
    """Asks Azure something and reads the answer."""

    def __call__(self, method: str, path: str, asked: object, kind: type[_S], /) -> _S:
        """Ask once, or patiently where it is throttled."""
        ...


class _Log(Struct, frozen=True, rename="camel"):
    enabled: bool = False
    category: str | None = None
    category_group: str | None = None


class _Properties(Struct, frozen=True, rename="camel"):
    workspace_id: str | None = None
    logs: tuple[_Log, ...] = ()


class _Setting(Struct, frozen=True):
    properties: _Properties
    name: str = ""


class _Settings(Struct, frozen=True):
    value: tuple[_Setting, ...] = ()


class _Column(Struct, frozen=True):
    name: str


class _Table(Struct, frozen=True):
    columns: tuple[_Column, ...]
    rows: tuple[tuple[str | int, ...], ...]


class _Result(Struct, frozen=True):
    tables: tuple[_Table, ...]


def described(manage: Ask, resource: str, complete_until: datetime) -> AuditLog:
    """Return what of a vault is logged (diagnosticSettings.list): every operation, once one category is on."""
    settings = manage("GET", resource + _SETTINGS, None, _Settings).value
    kept = [each for each in settings if each.properties.workspace_id and any(map(_audits, each.properties.logs))]
    gaps = () if kept else ("No diagnostic setting of the vault sends its audit events to a workspace.",)
    return AuditLog(
        source=f"{resource}, diagnostic setting {kept[0].name[:80] if kept else '(none)'}",
        on=bool(kept),
        gaps=gaps,
        complete_until=complete_until,
    )


def counted(logs: Ask, workspace: str, resource: str, since: datetime, until: datetime) -> Counter[str]:
    """Return how often each key, by ``name/version``, signed from ``since`` on and before ``until``."""
    when = f"TimeGenerated >= datetime({_time(since)}) and TimeGenerated < datetime({_time(until)})"
    which = f"_ResourceId =~ '{resource.lower()}' and OperationName == 'KeySign' and ResultSignature in ('OK', '200')"
    query = (
        f"union isfuzzy=true (AzureDiagnostics | where {when} | where {which} | project Key = tostring(id_s)),"
        f" (AZKVAuditLogs | where {when} | where {which} | project Key = tostring(Id))"
        " | summarize Uses = count() by Key"
    )
    timespan = f"{_time(since)}/{_time(until)}"
    result = logs("POST", f"/v1/workspaces/{workspace}/query", {"query": query, "timespan": timespan}, _Result)
    signed = Counter[str]()
    for table in result.tables:
        if [each.name for each in table.columns] != ["Key", "Uses"]:
            raise KeyStoreUnavailable("Azure Monitor answered with other columns than it was asked for.")
        for row in table.rows:
            if len(row) != 2 or not isinstance(row[0], str) or not isinstance(row[1], int):
                raise KeyStoreUnavailable("Azure Monitor answered with something that could not be read.")
            signed[row[0].partition("/keys/")[2]] += row[1]
    return signed


def _audits(log: _Log) -> bool:
    return log.enabled and (log.category == "AuditEvent" or (log.category_group or "").lower() in _GROUPS)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
