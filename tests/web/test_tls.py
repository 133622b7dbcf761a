"""The service over real TLS: who is let in by a certificate, a token, both, and who is sent away in the handshake."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.access.clients import Authority, Key, key_digest, new_key, write
from tests.web.house import House
from tests.web.standing import application

from privyseal.errors import Conflict, Misused, NotAuthenticated, NotFound
from privyseal.records import events, parties
from privyseal.signing import enrol
from privyseal.terms.parties import Role
from privyseal.web import serving
from privyseal.web.desk import Desk
from privyseal.web.tls import TlsFiles


class Served:
    """A house behind real TLS on loopback, in a thread, with a member whose certificate is registered."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house, self.folder = house, folder
        self._connections: list[http.client.HTTPSConnection] = []
        self.trusted, self.clients = Authority("for servers"), Authority("for clients")
        self.server_key, self.key = new_key(), new_key()
        (folder / "ca.pem").write_bytes(self.trusted.pem)
        (folder / "clients.pem").write_bytes(self.clients.pem)
        certificate, key = write(folder, "server", self.trusted.server(self.server_key), self.server_key)
        self.files = TlsFiles(certificate, key, folder / "clients.pem")
        self.member = enrol.member(house.seal, "demo", "ada", (Role.REQUESTER,))
        self.token = enrol.token(house.seal, self.member)
        enrol.client_certificate(house.seal, self.member, der(self.clients.issue(self.key, ["ada"])))
        self._listening = serving.bind("127.0.0.1", 0)
        self.port = self._listening.getsockname()[1]
        ready = threading.Event()
        desk = Desk(house.seal, house.public_log)
        self._standing = ExitStack()
        routed = self._standing.enter_context(application(desk))
        self.server = serving.Server(routed, ready.set, desk.stop, tls=self.files)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listening]})
        self._thread.start()
        assert ready.wait(20)

    def stop(self) -> None:
        for connection in self._connections:
            connection.close()
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._standing.close()

    def present(self, certificate: x509.Certificate, key: Key, **more: Any) -> ssl.SSLContext:
        """Return a context for a client with this certificate."""
        context = self.anonymous(**more)
        context.load_cert_chain(*write(self.folder, "client", certificate, key))
        return context

    def anonymous(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.maximum_version = version
        return context

    def connect(self, context: ssl.SSLContext) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)
        self._connections.append(connection)
        return connection


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def who(connection: http.client.HTTPSConnection, token: str | None = None, **more: str) -> tuple[int, Any]:
    """Ask the service who we are; on one connection, as often as one likes."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET", "/v1/whoami", headers=headers | more)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.fixture
def served(house: House, tmp_path: Path) -> Iterator[Served]:
    folder = tmp_path / "tls"
    folder.mkdir()
    running = Served(house, folder)
    yield running
    running.stop()


def test_a_token_a_certificate_or_both_let_the_member_in(served: Served) -> None:
    """On one port; what proved it is told, and so recorded."""
    renewed = served.clients.issue(served.key, ["another name"])
    certified = served.present(renewed, served.key)
    for context, token, factors in (
        (served.anonymous(), served.token, ["bearer"]),
        (certified, None, ["client-certificate"]),
        (certified, served.token, ["bearer", "client-certificate"]),
    ):
        connection = served.connect(context)
        status, said = who(connection, token)
        assert (status, said["name"], said["factors"]) == (200, "ada", factors), said
        connection.close()


def test_what_does_not_agree_is_refused(served: Served) -> None:
    """A token of one member and a certificate of another; nobody's certificate; neither. Each 401 and one sentence."""
    mine = served.present(served.clients.issue(served.key, ["ada"]), served.key)
    stranger = new_key()
    nobodys = served.present(served.clients.issue(stranger, ["ada"]), stranger)
    usual, bad = served.house.tokens["requester"], "pst_" + "A" * 43
    for context, token, words in (
        (mine, usual, "different members"),
        (mine, bad, "token is unknown"),
        (nobodys, None, "not registered"),
        (nobodys, served.token, "not registered"),
        (served.anonymous(), None, "No credential"),
    ):
        connection = served.connect(context)
        status, said = who(connection, token)
        assert (status, said["code"]) == (401, "not-authenticated") and words in said["detail"]
        connection.close()


def test_whom_no_authority_knows_is_sent_away_in_the_handshake(served: Served) -> None:
    """A foreign CA, a CA of the same name, a self-made one, an expired one, a server's: no request is ever read."""
    foreign, twin = Authority("foreign"), Authority("for clients")
    past, future = (timedelta(days=-9), timedelta(days=-1)), (timedelta(days=1), timedelta(days=9))
    key, intermediate = new_key(), new_key()
    below = Authority("below")
    below.key, below.certificate = intermediate, served.clients.issue(intermediate, ["below"], authority=True)
    for certificate in (
        foreign.issue(served.key, ["ada"]),
        twin.issue(served.key, ["ada"]),
        served.trusted.issue(served.key, ["ada"]),  # it certifies servers, not clients
        served.clients.issue(served.key, ["ada"], lasts=past),
        served.clients.issue(served.key, ["ada"], lasts=future),
        served.clients.server(served.key),
        below.issue(key, ["ada"]),  # its issuer is not sent along
    ):
        own = key if certificate.public_key() == key.public_key() else served.key
        connection = served.connect(served.present(certificate, own))
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            who(connection, served.token)
        connection.close()
    assert who(served.connect(served.anonymous()), served.token)[0] == 200


def test_an_identity_stays_on_its_connection(served: Served) -> None:
    """Requests of three connections in turn, kept open: each is always who it was, and a new one starts as nobody."""
    key = new_key()
    bob = enrol.member(served.house.seal, "demo", "bob", (Role.REQUESTER,))
    certificate = served.clients.issue(key, ["ada"])
    enrol.client_certificate(served.house.seal, bob, der(certificate))
    first = served.connect(served.present(served.clients.issue(served.key, ["ada"]), served.key))
    second, third = served.connect(served.present(certificate, key)), served.connect(served.anonymous())
    for _ in range(5):
        assert (who(first)[1]["name"], who(second)[1]["name"], who(third)[0]) == ("ada", "bob", 401)
        assert who(third, served.token)[1]["factors"] == ["bearer"]
        assert who(served.connect(served.anonymous()))[0] == 401
    enrol.forget_client_certificate(served.house.seal, "demo", key_digest(served.key))
    assert (who(first)[0], who(second)[1]["name"]) == (401, "bob")  # from the very next request on


def test_a_session_is_never_taken_up_again(served: Served) -> None:
    """So that who was verified once is verified again; a client that offers its old session gets a full handshake."""
    context = served.present(served.clients.issue(served.key, ["ada"]), served.key)
    connection = served.connect(context)
    assert who(connection)[0] == 200
    session = connection.sock.session
    connection.close()
    with socket.create_connection(("127.0.0.1", served.port), 20) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as again:
                assert not again.session_reused
        except ValueError:
            assert session is None or not session.id


def test_over_tls_1_2_a_certificate_proves_nothing(served: Served) -> None:
    """There OpenSSL may take up a session of somebody who was verified earlier; a token is as good as ever."""
    version = ssl.TLSVersion.TLSv1_2
    certified = served.present(served.clients.issue(served.key, ["ada"]), served.key, version=version)
    for context in (certified, served.anonymous(version)):
        status, said = who(served.connect(context))
        assert (status, said["code"]) == (401, "not-authenticated")
        assert "TLS 1.3" in said["hint"]
        assert who(served.connect(context), served.token)[1]["factors"] == ["bearer"]


def test_no_header_is_believed(served: Served) -> None:
    """Whatever proxies write of clients, certificates and addresses changes nothing."""
    pem = served.clients.issue(served.key, ["ada"]).public_bytes(Encoding.PEM).decode().replace("\n", " ")
    lies = {
        "X-SSL-Client-Verify": "SUCCESS", "X-SSL-Client-Cert": pem, "X-Forwarded-Client-Cert": f'Cert="{pem}"',
        "Client-Cert": pem, "X-Client-DN": "CN=ada", "SSL-Client-S-DN-CN": "ada", "X-Forwarded-For": "127.0.0.1",
        "Forwarded": "for=127.0.0.1;proto=https", "X-Remote-User": "ada", "privyseal.client_certificate": pem,
    }  # fmt: skip
    assert who(served.connect(served.anonymous()), **lies)[0] == 401
    assert who(served.connect(served.anonymous()), served.token, **lies)[1]["factors"] == ["bearer"]


def test_openssl_finds_what_the_documentation_says(served: Served) -> None:
    """A stranger's client: TLS 1.2 and 1.3 and no older; it is asked for a certificate; weak ciphers are not there."""

    def client(*more: str) -> str:
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{served.port}",
            "-CAfile",
            str(served.folder / "ca.pem"),
        ]
        done = subprocess.run([*command, *more], input="", capture_output=True, text=True, check=False, timeout=30)
        return done.stdout + done.stderr

    assert "Verify return code: 0 (ok)" in client("-tls1_3")
    spoken = client("-tls1_2")
    assert "Verify return code: 0 (ok)" in spoken and "Secure Renegotiation IS supported" in spoken
    assert "Requested Signature Algorithms" in spoken and "Compression: NONE" in spoken
    for refused in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384")):
        assert "Cipher is (NONE)" in client(*refused)


@pytest.mark.parametrize(
    "octets", [b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(70_000), b""]
)
def test_plain_http_and_junk_on_the_port_get_no_answer_and_do_no_harm(served: Served, octets: bytes) -> None:
    """Nothing is answered in the clear but perhaps a TLS alert; the connection ends and the service goes on."""
    with socket.create_connection(("127.0.0.1", served.port), 20) as plain:
        said = b""
        try:
            plain.sendall(octets)
            plain.shutdown(socket.SHUT_WR)
            while piece := plain.recv(4096):
                said += piece
        except ConnectionError:
            pass
        assert said == b"" or (said[0] == 0x15 and len(said) < 16)
    assert who(served.connect(served.anonymous()), served.token)[0] == 200


def test_a_handshake_that_does_not_come_to_an_end_is_ended(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who connects and says nothing is cut off, while others are served; without that each would cost a descriptor."""
    monkeypatch.setattr(serving, "HANDSHAKE_TIMEOUT_S", 0.3)
    running = Served(house, tmp_path)
    try:
        with socket.create_connection(("127.0.0.1", running.port), 20) as silent:
            assert who(running.connect(running.anonymous()), running.token)[0] == 200
            silent.settimeout(20)  # uvloop's own limit is 60 s
            assert silent.recv(100) == b""
    finally:
        running.stop()


def test_a_new_certificate_is_taken_without_a_restart(served: Served) -> None:
    """Connections to come get it, one that is open goes on; a bad file is said and changes nothing."""
    old = served.connect(served.anonymous())
    assert who(old, served.token)[0] == 200

    def serial() -> int:
        with (
            socket.create_connection(("127.0.0.1", served.port), 20) as plain,
            served.anonymous().wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(True) or b"").serial_number

    before = serial()
    renewed = served.trusted.server(served.server_key)
    served.files.certificate.write_bytes(b"junk")
    served.server.reload()
    assert serial() == before
    served.files.certificate.write_bytes(renewed.public_bytes(Encoding.PEM))
    served.server.reload()
    assert serial() == renewed.serial_number != before
    assert who(old, served.token)[0] == 200


def test_files_that_cannot_be_used_are_named(served: Served) -> None:
    """A key that others can read, that is another's, encrypted, missing; authorities that are none."""
    files, folder = served.files, served.folder
    other = write(folder, "other", served.trusted.server(new_key()), new_key())
    locked = folder / "locked.key"
    locked.touch(0o600)
    subprocess.run(
        ["openssl", "pkey", "-in", str(files.key), "-aes256", "-passout", "pass:sesame", "-out", str(locked)],
        check=True,
    )
    for broken, words in (
        (TlsFiles(files.certificate, other[1]), "do not belong together"),
        (TlsFiles(files.certificate, locked), "is encrypted"),
        (TlsFiles(files.certificate, folder / "none"), "cannot be read: No such file"),
        (TlsFiles(folder / "none", files.key), "cannot be read: No such file"),
        (TlsFiles(files.key, files.key), "PEM was expected"),
        (TlsFiles(files.certificate, files.key, files.key), "authorities for clients .* cannot be used"),
        (TlsFiles(files.certificate, files.key, folder / "none"), "authorities for clients .* cannot be read"),
    ):
        with pytest.raises(Misused, match=words):
            broken.context()
    files.key.chmod(0o640)
    with pytest.raises(Misused, match="chmod 600"):
        files.context()
    files.key.chmod(0o600)
    assert files.context().verify_mode is ssl.CERT_OPTIONAL
    assert TlsFiles(files.certificate, files.key).context().verify_mode is ssl.CERT_NONE


def test_a_key_is_registered_once_and_only_with_a_certificate_for_clients(served: Served) -> None:
    """Another member cannot have it too; what the door would refuse is refused here; each forgets its own."""
    seal, key = served.house.seal, new_key()
    stranger = enrol.member(seal, "other", "eve", (Role.REQUESTER,))
    with pytest.raises(Conflict, match="registered already"):
        enrol.client_certificate(seal, stranger, der(served.clients.issue(served.key, ["eve"])))
    with pytest.raises(NotAuthenticated, match="clientAuth"):
        enrol.client_certificate(seal, stranger, der(served.trusted.server(key)))
    with pytest.raises(NotFound):
        enrol.forget_client_certificate(seal, "other", key_digest(served.key))
    with seal.records.reading("demo") as tx:
        assert [each.what for each in events.events_about(tx, served.member.id)][-1] == "client certificate registered"
    moment = seal.clock()
    enrol.client_certificate(seal, stranger, der(served.clients.issue(key, ["eve"])), moment + timedelta(hours=1))
    with seal.records.reading_all_subscribers() as connection:
        find = parties.member_by_client_key_of_all_subscribers
        assert find(connection, key_digest(key), moment) == stranger
        assert find(connection, key_digest(key), moment + timedelta(hours=1)) is None


def test_the_signature_of_a_certified_member_says_by_what(served: Served) -> None:
    """The record of a request names the factors beside the member."""
    context = served.present(served.clients.issue(served.key, ["ada"]), served.key)
    connection = served.connect(context)
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k", "Authorization": f"Bearer {served.token}"}
    connection.request("POST", "/v1/demo/requests", served.house.request().canonical(), headers)
    response = connection.getresponse()
    document = json.loads(response.read())
    assert response.status == 201, document
    with served.house.seal.records.reading("demo") as tx:
        said = [(each.actor, each.what) for each in events.events_about(tx, document["id"])]
    assert (served.member.id, "by bearer and client-certificate") in said
