"""Names: what is not seen, what looks like another one, and what is not one name, is refused where it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import BadInput
from privyseal.terms.names import LONGEST_NAME, require_plain, require_unlike, skeleton


@pytest.mark.parametrize("name", ["Acme", "O'Neil & Søn", "Иван Петров", "Πάπας", "株式会社Acme", "김철수 Kim", "3M"])
def test_names_of_people_and_organisations_are_taken(name: str) -> None:
    """In any one script, and in those that are written together."""
    assert require_plain(name, "The name") == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        (" Acme", "begins or ends with a blank"),
        ("Acme\0.evil", "U+0000"),
        ("Ac\u200bme", "U+200B, zero width space"),
        ("Acme\u202egro", "U+202E, right-to-left override"),
        ("Ac\u00adme", "U+00AD, soft hyphen"),
        ("Acme\n", "begins or ends with a blank"),
        ("Ac\nme", "U+000A"),
        ("Ac\u2003me", "U+2003"),
        ("A\u0441me", "mixes letters of Cyrillic and Latin"),
        ("\u0410\u0441\u0435", "is written in Cyrillic and looks like 'Ace'"),
        ("\u039f\u03a1", "is written in Greek and looks like 'OP'"),
        ("\uff21cme", "special form"),
        ("\U0001d400cme", "special form"),
        ("x" * (LONGEST_NAME + 1), "at most 200"),
    ],
)
def test_names_that_could_be_taken_for_others_are_refused(name: str, why: str) -> None:
    """With what is wrong, by its code point where nobody sees it."""
    with pytest.raises(BadInput) as refused:
        require_plain(name, "The name")
    assert why in refused.value.detail


def test_names_that_look_alike_are_told_and_the_same_name_is_not() -> None:
    """Zero and O, l and I and 1, rn and m, marks and case, letters of another script."""
    for one, other in (("Acme0", "AcmeO"), ("paypal", "paypaI"), ("modern", "modem"), ("Acme", "\u0410\u0441me")):
        assert skeleton(one) == skeleton(other)
        with pytest.raises(BadInput, match="looks like"):
            require_unlike(one, [other], "The name")
    require_unlike("Acme", ["Acme", "Emca"], "The name")


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """And what is taken is seen whole."""
    try:
        taken = require_plain(text, "The name")
    except BadInput:
        return
    assert taken.isprintable()
