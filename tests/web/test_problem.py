"""One mapping from errors to the wire: every leaf, every code's page, and nothing told about what nobody foresaw."""

from __future__ import annotations

import json
import logging

import pytest
from tests.web.house import House, check

from privyseal import errors
from privyseal.telemetry import JsonLines
from privyseal.web import problem

LEAVES = sorted(
    (leaf for leaf in problem._leaves(errors.PrivySealError) if leaf.__module__ == "privyseal.errors"),
    key=lambda leaf: leaf.code,
)


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf is not errors.PrivySealError], ids=lambda e: e.code)
def test_every_error_becomes_its_own_document(
    leaf: type[errors.PrivySealError], shared_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, code, title, detail, hint and retryable are the error's own."""
    monkeypatch.setattr(shared_house.seal.signer, "raises", None)
    monkeypatch.setattr(shared_house.walk, "raises", leaf("Something happened.", hint="do something"))
    answered = shared_house.post(shared_house.request(), key=leaf.code)
    if leaf is errors.Failed:  # read from the records instead, where the request has not failed
        assert answered.status_code == 202
        return
    document = check(answered, leaf.status, leaf.code)
    assert document["title"] == leaf.title
    assert (document["detail"], document["hint"]) == ("Something happened.", "do something")
    assert document["retryable"] is leaf.retryable


def test_every_code_has_a_page_and_no_two_kinds_share_a_code(shared_house: House) -> None:
    """What ``type`` points to can be read, and says what the code means."""
    kinds = problem.kinds()
    assert len(kinds) >= len(LEAVES) + len(problem.HTTP_KINDS)
    for kind in kinds.values():
        page = shared_house.client.get(f"/problems/{kind.code}")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/plain; charset=utf-8"
        assert kind.code in page.text and str(kind.status) in page.text and len(kind.about) > 20


def test_what_nobody_foresaw_is_logged_by_its_place_and_told_to_nobody(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with the request id, by which the place in the code is found; the exception's text is told nobody."""

    def broken() -> None:
        raise ZeroDivisionError("the secret is 42")

    house.walk.before = broken
    with caplog.at_level(logging.ERROR, "privyseal"):
        answered = house.post(house.request(), **{"X-Request-Id": "trace-me"})
    document = check(answered, 500, "internal")
    assert "42" not in answered.text and "ZeroDivision" not in answered.text
    assert document["request_id"] == "trace-me" and document["retryable"] is False
    lines = [JsonLines("serve").format(record) for record in caplog.records]
    (line,) = (json.loads(each) for each in lines if "a bug of ours" in each)
    assert line["request_id"] == "trace-me" and "broken" in line["where"] and "ZeroDivisionError" in line["where"]
    assert not any("the secret is 42" in each for each in lines)


def test_an_error_without_a_leaf_is_our_bug(house: House) -> None:
    """PrivySealError itself is never raised on purpose, so its text is not trusted either."""
    house.walk.raises = errors.PrivySealError("leaked detail")
    answered = house.post(house.request())
    check(answered, 500, "internal")
    assert "leaked" not in answered.text


def test_a_credential_never_reaches_the_log_or_an_answer(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong around it."""
    caplog.set_level(logging.DEBUG)
    token = house.tokens["requester"]

    def broken() -> None:
        raise RuntimeError("inside")

    house.walk.before = broken
    answers = [house.post(house.request())]
    answers += [house.client.get(f"/v1/{path}", headers=house.auth()) for path in ("whoami", "other/keys", "demo/x")]
    assert all(token not in answered.text for answered in answers)
    assert token not in caplog.text and token[4:] not in caplog.text


def test_not_ready_names_what_is_missing(house: House) -> None:
    """503 while any part does not answer, 200 as soon as all do; alive all along."""
    house.seal.signer.raises = errors.KeyStoreUnavailable("The signer is away.")  # type: ignore[attr-defined]
    house.seal.logger.raises = errors.LogUnavailable("The logger is away.")  # type: ignore[attr-defined]
    document = check(house.client.get("/readyz"), 503, "unavailable")
    assert "The signer is away." in document["detail"] and "The logger is away." in document["detail"]
    assert house.client.get("/livez").json() == {"alive": True}
    house.seal.signer.raises = house.seal.logger.raises = None  # type: ignore[attr-defined]
    assert house.client.get("/readyz").json() == {"ready": True}
    house.lose_a_table()
    assert "records" in check(house.client.get("/readyz"), 503, "unavailable")["detail"]
