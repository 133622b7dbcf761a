"""Who we are to AWS: access keys from a file, or a role that is assumed with a token from a file; read again in time.

Files of credentials are as the AWS tools have them ("Configuration and credential file settings", one profile).
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.awskms import AwsKmsSection
from privyseal.keystore.awskms_refusals import THROTTLED, refusal
from privyseal.keystore.clouds import NotDone, patiently, read_secret
from privyseal.keystore.wire import Wire

EARLY = timedelta(minutes=5)
"""How long before its end a session's credential is replaced; the shortest session that AWS gives lasts 15 minutes."""
_FIELD = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<>]{1,4096})</\1>")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")


class AccessKey(Struct, frozen=True):
    """What requests are signed with."""

    name: str
    secret: str
    session: str | None
    until: datetime | None
    """When it must be replaced; None where only the file knows."""

    def __repr__(self) -> str:
        """Show none of it."""
        return "AccessKey(...)"


class Identity:
    """The access key of one account, read again when its file changed, and asked for again before it runs out."""

    def __init__(self, section: AwsKmsSection, clock: Callable[[], datetime]) -> None:
        """Be whom a section says."""
        self._section = section
        self._clock = clock
        self._known: AccessKey | None = None
        self._read_at: tuple[int, int] = (0, 0)
        self._sts = (
            None
            if section.role is None
            else Wire("AWS STS", section.address("sts"), _path(section.ca_file), section.timeout / 3)
        )

    def key(self) -> AccessKey:
        """Return the access key of this moment; raises NotDone or Misused where none can be had."""
        path = Path(self._section.secret)
        try:
            status = path.stat()
        except OSError as error:
            raise Misused(f"The credential {path} cannot be read: {error.strerror}.") from None
        version = (status.st_mtime_ns, status.st_ino)
        known = self._known
        if self._sts is None:
            if known is None or version != self._read_at:
                known = _access_key(path, read_secret(path))
        elif known is None or known.until is None or self._clock() >= known.until:
            known = self._assumed(self._sts, read_secret(path))
        self._known, self._read_at = known, version
        return known

    def close(self) -> None:
        """Close the connection with STS, if there is one."""
        if self._sts is not None:
            self._sts.close()

    def forget(self) -> None:
        """Have the next request read or ask anew, because AWS says that the credential has run out."""
        self._known = None

    def _assumed(self, sts: Wire, token: str) -> AccessKey:
        """Assume the role (AWS STS API Reference, AssumeRoleWithWebIdentity): a request that nobody signs."""
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._section.role or "",
            "RoleSessionName": "privyseal",
            "WebIdentityToken": token,
        }
        body = urlencode(form).encode("ascii")
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/xml"}

        def once() -> str:
            reply = sts.call("POST", "/", headers, body)
            text = reply.body.decode("utf-8", "replace")
            if reply.status == 200:
                return text
            code = _CODE.search(text)
            why = refusal(code[1] if code else "")
            # The key that is to be used is not reached by any of this, so that all of it may be asked again.
            raise NotDone(why, soon=code is not None and code[1] in THROTTLED)

        try:
            found = dict(_FIELD.findall(patiently(once)))
            until = datetime.fromisoformat(found["Expiration"])
            return AccessKey(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], until - EARLY)
        except KeyStoreUnavailable as error:
            raise NotDone(error, soon=False) from None
        except (KeyError, ValueError):
            raise NotDone(KeyStoreUnavailable("AWS STS gave no credential that could be read."), soon=False) from None


def _access_key(path: Path, text: str) -> AccessKey:
    """Read a credentials file; Misused if there is not exactly one profile with both halves of a key."""
    parser = configparser.RawConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text)
        (profile,) = parser.sections()
        found = dict(parser.items(profile))
        return AccessKey(
            found["aws_access_key_id"], found["aws_secret_access_key"], found.get("aws_session_token"), None
        )
    except (configparser.Error, ValueError, KeyError):
        raise Misused(
            f"{path} is no credentials file of AWS with one profile.",
            hint="a line [default], then aws_access_key_id and aws_secret_access_key, and aws_session_token if there is"
            " one",
        ) from None


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
