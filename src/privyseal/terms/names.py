"""Names of people and organisations, where they come in: nobody gets one that looks like another's.

Names in certificates and accounts have been cut at a NUL, compared without regard to look-alikes, and read from the
wrong one of several commonNames. So a name is refused here that holds what is not seen, that mixes scripts which are
not written together, or whose letters of another script all look like Latin ones (UTS 39, sections 4 and 5, of which
this is a small part: the letters of Cyrillic and Greek that are drawn as Latin ones).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from privyseal.errors import BadInput

LONGEST_NAME = 200
"""Characters; X.509's ub-common-name is 64 (RFC 5280 A.1), and organisations exceed it."""

_TOGETHER = (
    frozenset({"LATIN"}),
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)
"""Scripts that are written together (UTS 39 5.2, "highly restrictive"); any other stands alone."""

_LOOKS_LIKE = dict(
    zip(
        "АВЕЅІЈКМНОРСТУХаеорсухѕіјһԁԛԝҮүєЗ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧονιαγρτυχκ",
        "ABESIJKMHOPCTYXaeopcyxsijhdqwYyeZ" + "ABEZHIKMNOPTYXoviaypTuxk",
        strict=True,
    )
)
"""Letters of Cyrillic and Greek that are drawn as Latin ones."""
_SAME = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l"})


def require_plain(name: str, what: str) -> str:
    """Return a name, in NFC; BadInput, naming what it is a name of, where it could be taken for another one."""
    plain = unicodedata.normalize("NFC", name)
    if not plain.strip() or plain != plain.strip():
        raise BadInput(f"{what} is empty, or begins or ends with a blank.", hint="write it as people know it")
    if len(plain) > LONGEST_NAME:
        raise BadInput(f"{what} has {len(plain)} characters; at most {LONGEST_NAME} are taken.")
    for character in plain:
        if unicodedata.category(character)[0] == "C" or (character.isspace() and character != " "):
            said = unicodedata.name(character, "a control character").lower()
            raise BadInput(f"{what} holds what nobody sees: U+{ord(character):04X}, {said}.", hint="write it anew")
    if unicodedata.normalize("NFKC", plain) != plain:
        raise BadInput(f"{what} holds letters in a special form, such as full width.", hint="write it plainly")
    scripts = _scripts(plain)
    if len(scripts) > 1 and not any(scripts <= known for known in _TOGETHER):
        mixed = " and ".join(sorted(each.capitalize() for each in scripts))
        raise BadInput(f"{what} mixes letters of {mixed}, which look alike.", hint="write it in one script")
    letters = [each for each in plain if each.isalpha()]
    if letters and "LATIN" not in scripts and all(each in _LOOKS_LIKE for each in letters):
        (script,) = scripts
        looks = "".join(_LOOKS_LIKE.get(each, each) for each in plain)
        raise BadInput(
            f"{what} is written in {script.capitalize()} and looks like {looks!r}.", hint="write it in Latin"
        )
    return plain


def skeleton(name: str) -> str:
    """Return what a name looks like: two names with the same skeleton may be taken for each other (UTS 39 4)."""
    folded = unicodedata.normalize("NFKD", name)
    drawn = "".join(_LOOKS_LIKE.get(each, each) for each in folded if not unicodedata.combining(each))
    return " ".join(drawn.casefold().translate(_SAME).replace("rn", "m").split())


def require_unlike(name: str, others: Sequence[str], what: str) -> None:
    """Raise BadInput where a name looks like one of those that there are and is another one."""
    mine = skeleton(name)
    for other in others:
        if other != name and skeleton(other) == mine:
            raise BadInput(f"{what} {name!r} looks like {other!r}, which there is already.", hint="choose another name")


def _scripts(name: str) -> frozenset[str]:
    """Return the scripts of a name's letters, by the first word of each letter's name in Unicode."""
    return frozenset(unicodedata.name(each, "UNKNOWN").split()[0] for each in name if each.isalpha())
