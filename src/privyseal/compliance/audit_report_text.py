"""The text of a report: page by page out of a PDF, or as it is. Any octets give text or one sentence.

Bounded throughout: octets, pages, what a stream may unpack to, and characters. What no bound here holds, such as the
time for a PDF that was made to be slow, the caller bounds by a process of its own (``cli/audit_report.py``).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable

import msgspec

from privyseal.errors import BadInput, TooLarge

MOST_OCTETS = 32 << 20
"""Octets of a report; those of large CAs have 1 MiB."""
MOST_PAGES = 500
"""Pages; those of large CAs have 60."""
MOST_UNPACKED = 16 << 20
"""Octets that one compressed stream may have when it is unpacked."""
MOST_CHARACTERS = 4 << 20
"""Characters of all pages together; 500 full pages have 2 million."""


class ReportText(msgspec.Struct, frozen=True):
    """A report as text."""

    pages: tuple[str, ...]
    pdf: bool
    """Whether it came out of a PDF."""


def text_of(octets: bytes) -> ReportText:
    """Return the text of a PDF, or of a text file in UTF-8 with form feeds between its pages.

    BadInput for anything else, TooLarge beyond a bound.
    """
    if len(octets) > MOST_OCTETS:
        raise TooLarge(f"The report has more than {MOST_OCTETS >> 20} MiB.")
    if octets[:1024].lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"%PDF-"):
        return ReportText(_of_pdf(octets), pdf=True)
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("It is neither a PDF nor text in UTF-8.") from None
    if "\0" in text:
        raise BadInput("It is neither a PDF nor text: it has octets of zero.")
    return ReportText(_bounded(text.split("\f")), pdf=False)


def _of_pdf(octets: bytes) -> tuple[str, ...]:
    import pypdf  # takes a tenth of a second, and only reports need it

    # Not an error of ours: pypdf logs what it mends, by the thousand where somebody wants it to.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        with pypdf.apply_configuration(
            maximum_declared_stream_length=MOST_OCTETS,
            array_based_stream_maximum_output_length=MOST_UNPACKED,
            jbig2_maximum_output_length=MOST_UNPACKED,
            lzw_maximum_output_length=MOST_UNPACKED,
            run_length_maximum_output_length=MOST_UNPACKED,
            zlib_maximum_output_length=MOST_UNPACKED,
        ):
            reader = pypdf.PdfReader(io.BytesIO(octets))
            if reader.is_encrypted:
                raise BadInput("The PDF is encrypted.", hint="a report has to be searchable by anybody (CSBR 8.6)")
            count = len(reader.pages)
            if count > MOST_PAGES:
                raise TooLarge(f"The PDF has {count} pages; at most {MOST_PAGES} are read.")
            return _bounded(page.extract_text() for page in reader.pages)
    except (BadInput, TooLarge):
        raise
    except Exception as error:  # a parser of foreign bytes may raise anything, and all of it means the same
        raise BadInput(f"The PDF cannot be read ({type(error).__name__}).") from None


def _bounded(pages: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    total = 0
    for page in pages:
        total += len(page)
        if total > MOST_CHARACTERS or len(found) == MOST_PAGES:
            raise TooLarge(
                f"The report has more than {MOST_PAGES} pages or {MOST_CHARACTERS >> 20} million characters."
            )
        found.append(page)
    return tuple(found)
