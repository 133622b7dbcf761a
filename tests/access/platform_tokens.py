"""Identity tokens as the platforms make them, by the documentation of each, and keys for them."""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
AUDIENCE = "https://seal.example.org"

UUIDS = [f"{n:08x}-1111-4222-8333-{n:012x}" for n in range(16)]

ISSUERS = {
    "github": "https://token.actions.githubusercontent.com",
    "gitlab": "https://gitlab.com",
    "azure": f"https://vstoken.dev.azure.com/{UUIDS[0]}",
    "buildkite": "https://agent.buildkite.com",
    "circleci": "https://oidc.circleci.com",
    "google": "https://accounts.google.com",
    "kubernetes": "https://kubernetes.default.svc.cluster.local",
    "spiffe": "spiffe://example.org",
}

CLAIMS: dict[str, dict[str, Any]] = {
    "github": {
        "sub": "repository_owner_id:583231:repository_id:1296269:environment:release",
        "environment": "release",
        "ref": "refs/tags/v2.4.0",
        "ref_type": "tag",
        "ref_protected": "true",
        "sha": "c1d2e3f4c1d2e3f4c1d2e3f4c1d2e3f4c1d2e3f4",
        "repository": "acme/app",
        "repository_id": "1296269",
        "repository_owner": "acme",
        "repository_owner_id": "583231",
        "repository_visibility": "private",
        "run_id": "9876543210",
        "run_number": "77",
        "run_attempt": "1",
        "actor": "anna",
        "actor_id": "12",
        "workflow": "release",
        "workflow_ref": "acme/app/.github/workflows/release.yml@refs/tags/v2.4.0",
        "workflow_sha": "c1d2e3f4c1d2e3f4c1d2e3f4c1d2e3f4c1d2e3f4",
        "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/tags/v2.4.0",
        "event_name": "push",
        "head_ref": "",
        "base_ref": "",
        "runner_environment": "github-hosted",
        "enterprise_id": None,
    },
    "gitlab": {
        "sub": "project_path:acme/app:ref_type:tag:ref:v2.4.0",
        "namespace_id": "72",
        "namespace_path": "acme",
        "project_id": "20",
        "project_path": "acme/app",
        "user_id": "1",
        "user_login": "anna",
        "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": "v2.4.0",
        "ref_type": "tag",
        "ref_path": "refs/tags/v2.4.0",
        "ref_protected": "true",
        "environment": "release",
        "environment_protected": "true",
        "runner_environment": "gitlab-hosted",
        "ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/tags/v2.4.0",
    },
    "azure": {
        "sub": "p://acme/app/release",
        "org_id": UUIDS[0],
        "prj_id": UUIDS[1],
        "def_id": "41",
        "rpo_id": UUIDS[2],
        "rpo_uri": "https://dev.azure.com/acme/app/_git/app",
        "rpo_ver": "c1d2e3f4",
        "rpo_ref": "refs/tags/v2.4.0",
        "run_id": "8801",
    },
    "buildkite": {
        "sub": "organization:acme:pipeline:app:ref:refs/tags/v2.4.0:commit:c1d2:step:release",
        "organization_slug": "acme",
        "organization_id": UUIDS[3],
        "pipeline_slug": "app",
        "pipeline_id": UUIDS[4],
        "build_number": 9,
        "build_branch": "main",
        "build_tag": "v2.4.0",
        "build_commit": "c1d2",
        "step_key": "release",
        "job_id": UUIDS[5],
        "agent_id": UUIDS[6],
        "runner_environment": "self-hosted",
    },
    "circleci": {
        "sub": f"org/{UUIDS[7]}/project/{UUIDS[8]}/user/{UUIDS[9]}",
        "oidc.circleci.com/org-id": UUIDS[7],
        "oidc.circleci.com/project-id": UUIDS[8],
        "oidc.circleci.com/context-ids": [UUIDS[10]],
        "oidc.circleci.com/vcs-origin": "github.com/acme/app",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/pipeline-id": UUIDS[11],
        "oidc.circleci.com/job-id": UUIDS[12],
        "oidc.circleci.com/ssh-rerun": False,
    },
    "google": {
        "sub": "110169484474386276334",
        "azp": "110169484474386276334",
        "email": "release@acme.iam.gserviceaccount.com",
        "email_verified": True,
        "google": {
            "compute_engine": {
                "project_id": "acme",
                "project_number": 739419398126,
                "zone": "us-west1-a",
                "instance_id": "152986662232938449",
                "instance_name": "build-1",
                "instance_creation_timestamp": 1704067200,
            }
        },
    },
    "kubernetes": {
        "sub": "system:serviceaccount:ci:release",
        "kubernetes.io": {
            "namespace": "ci",
            "node": {"name": "node-1", "uid": UUIDS[13]},
            "pod": {"name": "release-x7k2", "uid": UUIDS[14]},
            "serviceaccount": {"name": "release", "uid": UUIDS[15]},
        },
    },
    "spiffe": {"sub": "spiffe://example.org/ci/release"},
}
"""What the tokens say, without what all of them say in the same way."""

RULES: dict[str, dict[str, str]] = {
    "github": {
        "repository_id": "1296269",
        "repository_owner_id": "583231",
        "workflow_file": "release.yml",
        "environment": "release",
    },
    "gitlab": {"project_id": "20", "namespace_id": "72", "ref_path": "refs/tags/v*", "ref_protected": "true"},
    "azure": {"org_id": UUIDS[0], "prj_id": UUIDS[1], "def_id": "41", "rpo_ref": "refs/tags/v*"},
    "buildkite": {"organization_id": UUIDS[3], "pipeline_id": UUIDS[4], "build_tag": "v*"},
    "circleci": {
        "oidc.circleci.com/org-id": UUIDS[7],
        "oidc.circleci.com/project-id": UUIDS[8],
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
    },
    "google": {"sub": "110169484474386276334", "google.compute_engine.project_number": "739419398126"},
    "kubernetes": {"kubernetes.io.serviceaccount.uid": UUIDS[15], "kubernetes.io.namespace": "ci"},
    "spiffe": {"sub": "spiffe://example.org/ci/release"},
}
"""A rule for each that lets that run in."""

ALGORITHM = {"github": "RS256", "gitlab": "RS256", "azure": "RS256", "buildkite": "RS256", "circleci": "RS256"} | {
    "google": "RS256",
    "kubernetes": "RS256",
    "spiffe": "ES256",
}


@cache
def private(algorithm: str, number: int = 0) -> RSAKey | ECKey | OKPKey:
    """Make a key for an algorithm, once."""
    if algorithm in ("RS256", "PS256"):
        return RSAKey.generate_key(2048, auto_kid=False)
    if algorithm == "EdDSA":
        return OKPKey.generate_key("Ed25519", auto_kid=False)
    return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384"}[algorithm], auto_kid=False)


def public(algorithm: str, kid: str = "k1", number: int = 0, **more: Any) -> dict[str, Any]:
    """Return the key as a key set has it."""
    return {**private(algorithm, number).as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm, **more}


def claims(platform: str, **changes: Any) -> dict[str, Any]:
    """Return the claims of one run at NOW; a change to None leaves a claim out."""
    base = int(NOW.timestamp())
    audience = "api://AzureADTokenExchange" if platform == "azure" else AUDIENCE
    found = {"iss": ISSUERS[platform], "aud": audience, "exp": base + 300, "nbf": base, "iat": base}
    if platform == "spiffe":
        del found["iss"], found["nbf"]
        found["aud"] = [audience]  # JWT-SVID 3
    found |= {"jti": "6a1e3c4e-0001"} if platform in ("github", "gitlab", "kubernetes") else {}
    found |= copy.deepcopy(CLAIMS[platform]) | changes
    return {name: value for name, value in found.items() if value is not None}


def encode(part: bytes) -> bytes:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def sign(
    payload: dict[str, Any], algorithm: str = "RS256", kid: str | None = "k1", number: int = 0, **header: Any
) -> bytes:
    """Sign claims as a compact JWS, whatever they say."""
    head = {"typ": "JWT", "alg": algorithm} | ({"kid": kid} if kid is not None else {}) | header
    signed = encode(json.dumps(head).encode()) + b"." + encode(json.dumps(payload).encode())
    model = JWSRegistry.algorithms[algorithm]
    return signed + b"." + encode(model.sign(signed, private(algorithm, number)))  # type: ignore[arg-type]


def run(platform: str = "github", *, at: datetime = NOW, audience: str | None = None, **changes: Any) -> bytes:
    """Return the token of one run, issued at a moment."""
    later = int((at - NOW) / timedelta(seconds=1))
    made = claims(platform, **changes)
    for name in ("exp", "nbf", "iat"):
        if name in made and name not in changes:
            made[name] += later
    if audience is not None:
        made["aud"] = audience
    return sign(made, ALGORITHM[platform])
