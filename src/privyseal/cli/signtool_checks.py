"""``privyseal-signtool verify``, ``timestamp`` and ``remove``."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import msgspec

from privyseal.cli import later, remove, stamping, timestamp, verify
from privyseal.cli import profile as profiles
from privyseal.cli.pieces import Job
from privyseal.cli.signtool_arguments import Parsed
from privyseal.cli.signtool_sign import digest_of, jobs_of
from privyseal.cli.signtool_words import counted, fail, say, warn
from privyseal.cli.tls import Tls
from privyseal.errors import BadInput, Misused
from privyseal.formats.patch import settle
from privyseal.timestamp.client import Trusted
from privyseal.verify import FileVerdict, Trust


def verify_files(parsed: Parsed) -> int:
    """Verify the files: the signature in any case, and the log where a receipt is there."""
    believed = verify.read_trust(profiles.load({}, None))
    if believed.anchors is None:
        raise Misused("Nobody is trusted yet.", hint="say whom: PRIVYSEAL_TRUST=ca.pem, or a profile that does")
    good, warned = [], 0
    for job in jobs_of(parsed):
        try:
            found = _judged(job, believed)
        except BadInput as error:
            fail(error.detail, error.hint)
            good.append(False)
            continue
        good.append(found.verdict == "valid")
        rows = [
            f"{index:<6} {each.digest_algorithm:<10} {'RFC3161' if each.timestamp else 'None'}"
            for index, each in enumerate(found.signatures)
        ]
        say(parsed, f"File: {job.path}", "Index  Algorithm  Timestamp", "=" * 40, *rows, "")
        if not good[-1]:
            fail(_why(found))
            continue
        say(parsed, f"Successfully verified: {job.path}")
        if parsed.has("tw") and any(each.timestamp is None for each in found.signatures):
            warn(f"{job.path} is not timestamped.")
            warned += 1
    return counted(parsed, "Verified", good, warned)


def _judged(job: Job, believed: Trust) -> FileVerdict:
    receipt = job.receipt if os.path.lexists(job.receipt) else None
    if receipt is None:
        believed = msgspec.structs.replace(believed, log_policy=None)
    return verify.judge(job.path, believed, datetime.now(UTC), receipt)


def _why(found: FileVerdict) -> str:
    if found.verdict == "unsigned":
        return "No signature found."
    problems = [*found.problems, *(problem for each in found.signatures for problem in each.problems)]
    return problems[0].text if problems else f"The verdict is: {found.verdict}."


def timestamp_files(parsed: Parsed) -> int:
    """Timestamp files that are signed, by the authority of ``/tr``."""
    url = parsed.get("tr")
    if url is None:
        raise Misused("A timestamp authority is needed: /tr URL.")
    found = profiles.load({"tsa": (url,)}, None)
    believed = verify.read_trust(msgspec.structs.replace(found, log_policy=None))
    trusted = Trusted(believed.anchors, believed.crls)
    digest = digest_of(parsed, "td") or "sha256"
    wishes = later.Wishes(digest=digest, renew=None, trusted=trusted, at=datetime.now(UTC))
    asked = stamping.authorities(found.tsa, trusted, Tls(ca=found.ca))
    good: list[Job] = []
    todo = jobs_of(parsed)
    for job in todo:
        outcome = timestamp.stamp(job, asked, wishes)
        if outcome.end is None:
            good.append(job)
            say(parsed, f"Successfully timestamped: {job.path}")
        else:
            fail(outcome.words)
    settle(job.out for job in good)
    return counted(parsed, "timestamped", [job in good for job in todo])


def remove_from_files(parsed: Parsed) -> int:
    """Take the signatures off the files."""
    if not parsed.has("s"):
        raise Misused("What is to be removed is needed: /s, the signature.")
    good: list[Job] = []
    todo = jobs_of(parsed)
    for job in todo:
        report, error = remove.take_off(job)
        if error is None:
            good.append(job)
            say(parsed, f"Successfully committed changes to the file: {job.path}")
        else:
            fail(report.problems[0].text)
    settle(job.out for job in good)
    return counted(parsed, "processed", [job in good for job in todo])
