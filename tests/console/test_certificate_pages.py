"""A certificate that was ordered by hand: handed in, read and accepted in a real browser, before a real service."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect
from tests.console.conftest import Person
from tests.console.test_work_pages import at, come_in, seal_of
from tests.rehearsal import Rehearsal

from privyseal.pki.certificates import pem
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.records import keys, parties
from privyseal.signing import authorities, certificate_requests, custody, enrol
from privyseal.signing.certificate_requests import Wishes
from privyseal.signing.forms_of_certificates import NewOrder
from privyseal.strongroom.acts import Generate
from privyseal.terms.orders import OrderState


@pytest.fixture
def boss(chromium: Browser, service: Rehearsal) -> Iterator[Person]:
    person = come_in(chromium, service, "Cara Certifier", "administrator")
    yield person
    person.context.close()


def ordered(service: Rehearsal, key: str) -> tuple[str, bytes]:
    """Have a Key Pair born and a certificate for it ordered by hand; return the order's id, and what a CA issued."""
    seal = seal_of(service)
    with seal.records.reading("demo") as tx:
        owner = parties.subscriber(tx)
    act = Generate(
        subscriber="demo",
        key=key,
        scheme="ecdsa-p256",
        approvers=(),
        quorum=0,
        rehearsal=True,
        tag_key_sha256=enrol.tag_key_digest(owner),
        expires_at=(datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0),
    )
    pair = custody.generate(seal, act)
    csr = certificate_requests.request(seal, None, Wishes(subscriber="demo", key=key))
    order = authorities.ask(seal, None, "demo", NewOrder(key=key, authority="by-hand", csr=csr))
    ca = RehearsalAuthority.load((service.directory / "rehearsal-ca" / "ca.key").read_bytes())
    leaf = ca.issue_code_signing(pair.public_key, "Acme <b>GmbH</b>", datetime.now(UTC))
    return order.id, pem(ca.root) + pem(ca.timestamp_issuer) + pem(ca.code_signing_issuer) + pem(leaf)


def test_a_certificate_is_handed_in_read_and_accepted(boss: Person, service: Rehearsal) -> None:
    """Pasted in the order in which it came, with strangers; what it says is shown, and what is accepted is what was."""
    order, handed = ordered(service, "second")
    boss.open("/console/certificates")
    at(boss, "Certificates")
    boss.page.click("li:has-text('second') >> text=Read")
    at(boss, "Certificate for second", "certificate-waits")
    assert boss.page.locator("h2").all_inner_texts() == ["By hand", "End the order"]  # what to do next comes first
    boss.page.click("summary")
    expect(boss.page.locator("pre")).to_contain_text("BEGIN CERTIFICATE REQUEST")
    boss.page.fill("[name=certificates]", pem(RehearsalAuthority.load(_key(service)).root).decode())
    boss.page.click("text=Hand it in")
    expect(boss.page.locator("main")).to_contain_text("for another key")
    assert "422" in boss.errors.pop()  # Chromium's word on the refusal
    boss.open(f"/console/certificates/one?order={order}")
    boss.page.fill("[name=certificates]", handed.decode())
    boss.page.click("text=Hand it in")
    expect(boss.page.locator("[role=status]")).to_have_text("The certificates are here. Read what they say.")
    at(boss, "Certificate for second", "certificate-issued")
    expect(boss.page.locator("section:has(#facts)")).to_contain_text(r"Acme \<b\>GmbH")
    expect(boss.page.locator("section:has(#judged)")).to_contain_text("requirements are met")
    boss.page.click("text=Accept the certificate")
    expect(boss.page.locator("[role=status]")).to_have_text("The certificate is accepted, and used from now on.")
    at(boss, "Certificate for second", "certificate-accepted")
    seal = seal_of(service)
    with seal.records.reading("demo") as tx:
        (chain,) = keys.certificate_chains_of(tx, keys.key_pair(tx, "second").key_id)
    found = authorities.one(seal, "demo", order)
    assert found.state is OrderState.INSTALLED and found.fingerprint == hashlib.sha256(chain[0]).hexdigest()
    assert boss.errors == []


def test_an_order_is_ended_with_a_reason(boss: Person, service: Rehearsal) -> None:
    """Before anything came of it."""
    order, _ = ordered(service, "third")
    boss.open(f"/console/certificates/one?order={order}")
    boss.page.fill("[name=reason]", "ordered twice")
    boss.page.click("button:has-text('End the order')")
    expect(boss.page.locator("[role=status]")).to_have_text("The order is over.")
    at(boss, "Certificate for third", "certificate-refused")
    assert authorities.one(seal_of(service), "demo", order).words == "ordered twice" and boss.errors == []


def _key(service: Rehearsal) -> bytes:
    return (service.directory / "rehearsal-ca" / "ca.key").read_bytes()
