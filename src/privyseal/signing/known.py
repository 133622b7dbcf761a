"""What the service knows beside its records, for evaluations and gates.

Nothing states commitments, acceptances, a CA's word on a certificate, or a belief that a key is compromised yet: all of
it is unknown, and unknown is never met. Whoever keeps such statements fills them in here, and nowhere else.
"""

from __future__ import annotations

from sqlalchemy import Connection

from privyseal.compliance.known import NOTHING, Known


def known_of_all_subscribers(connection: Connection) -> Known:
    """Return all that was stated, read through a transaction that looks across Subscribers."""
    return NOTHING
