"""A build platform for rehearsals: on loopback it vouches for one job, with tokens shaped like those of GitHub Actions.

Its key is made on the spot and never leaves this process. The service believes it because ``serve.toml`` names it; the
real platform's keys are fetched in the same way, over TLS.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

REPOSITORY_ID, OWNER_ID = "4711", "815"
"""Of ``acme/app``: numbers, which nobody else is given when a name becomes free."""
_LIFE_S = 300


class Platform:
    """One platform with one repository, and the run that is under way in it."""

    def __init__(self) -> None:
        """Make its key; RSA as the real one's, RS256."""
        self._key = RSAKey.generate_key(2048, {"kid": "demo-1", "use": "sig", "alg": "RS256"})
        self._job = secrets.token_urlsafe(16)
        self.url = ""
        self.tag = ""
        self.run = 0

    def start(self, tag: str) -> dict[str, str]:
        """Start a run for a tag; return what the job finds in its environment."""
        self.tag, self.run = tag, self.run + 1
        return {
            "USER": "build",
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self._job,
        }

    def answer(self, path: str, authorization: str) -> dict[str, Any] | None:
        """Answer a GET of this path; None where there is nothing, or for whoever is not the job."""
        parts = urlsplit(path)
        if parts.path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        if parts.path == "/jwks":
            return {"keys": [self._key.as_dict(private=False)]}
        if parts.path == "/token" and secrets.compare_digest(authorization.encode(), f"bearer {self._job}".encode()):
            return {"value": self._token(parse_qs(parts.query).get("audience", [""])[0])}
        return None

    def _token(self, audience: str) -> str:
        now, workflow = int(time.time()), f"acme/app/.github/workflows/release.yml@refs/tags/{self.tag}"
        claims = {
            "iss": self.url,
            "aud": audience,
            "sub": "repo:acme/app:environment:release",
            "jti": secrets.token_hex(16),
            "iat": now,
            "nbf": now - 1,
            "exp": now + _LIFE_S,
            "repository": "acme/app",
            "repository_id": REPOSITORY_ID,
            "repository_owner": "acme",
            "repository_owner_id": OWNER_ID,
            "repository_visibility": "private",
            "ref": f"refs/tags/{self.tag}",
            "ref_type": "tag",
            "ref_protected": "true",
            "sha": secrets.token_hex(20),
            "environment": "release",
            "workflow": "release",
            "workflow_ref": workflow,
            "job_workflow_ref": workflow,
            "event_name": "push",
            "actor": "ada",
            "actor_id": "12",
            "run_id": str(1000 + self.run),
            "run_number": str(self.run),
            "run_attempt": "1",
            "runner_environment": "github-hosted",
        }
        return jwt.encode({"alg": "RS256", "kid": "demo-1", "typ": "JWT"}, claims, self._key)


@contextlib.contextmanager
def platform() -> Iterator[Platform]:
    """Run a platform on a free port of loopback until the block ends."""
    one = Platform()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            """Answer with JSON."""
            found = one.answer(self.path, self.headers.get("Authorization", "").replace("Bearer", "bearer", 1))
            octets = json.dumps({} if found is None else found).encode("utf-8")
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(octets)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
