"""The table on the page about code formats is what the suite finds when it plays it."""

from pathlib import Path

import pytest
from tests.formats.rows import COLUMNS, ROWS, Row, in_the_page, played, table
from tests.formats.signing import look, sign, signatory

from privyseal.formats import catalogue


def test_every_format_has_its_row():
    """A format without somebody else's verdict is not there yet."""
    assert [row.format for row in ROWS] == list(catalogue.BY_NAME)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.format)
def test_the_row_is_in_the_page(row: Row, tmp_path: Path):
    """Signed, appended, replaced, timestamped, removed, verified, in both modes; judged each time; and so it says."""
    assert played(row, tmp_path) in in_the_page().splitlines(), "python -m tests.formats.rows writes it anew"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.format)
def test_the_structure_says_whether_there_is_a_signature(row: Row, tmp_path: Path):
    """Without reading content it is known, for each format, what an examination finds."""
    path = tmp_path / row.filename
    path.write_bytes(row.sample())
    for signed in (False, True):
        if signed:
            sign(path, signatory(), options=row.options)
        found = look(path)
        assert found.layout.carries_signature is bool(found.signatures) is signed


def test_the_page_has_no_other_rows():
    """Nothing is promised that was not played; what a format cannot is said with its reason."""
    lines = in_the_page().splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert len(rows) == len(ROWS) and all(line.count("|") == len(COLUMNS) + 2 for line in rows.values())
    assert table(rows) == in_the_page()
