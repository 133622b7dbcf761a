"""The platforms whose runs can prove who they are by an OpenID Connect identity token: one record each, one list.

A record says which claims of the platform's tokens a trust rule may name, which of them it must name, and which tell
one run from another. What a rule must name are ids that are never given away again; names are only shown, for whoever
deletes ``acme/app`` hands its name to the next one (pypi/warehouse#19405). ``sub`` alone is never enough where there is
anything better: GitHub lets every organisation compose its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a condition on a claim looks like."""

    NUMBER = "a number"
    UUID = "a UUID"
    FLAG = "true or false"
    TEXT = "a text"
    GLOB = "a text in which * stands for any characters but /"


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of platform."""

    name: str
    title: str
    issuer: str = ""
    """Where all its tokens come from; empty where each installation has an issuer of its own, to be configured."""
    audience: str = ""
    """The audience of its tokens where nobody can choose one; empty where it is the service's own."""
    conditions: dict[str, Kind]
    """The claims that a rule may name, flattened: ``kubernetes.io.pod.uid``."""
    anchors: tuple[str, ...]
    """The claims that every rule must name: ids of whose code runs. Only whose run has them all is told more."""
    one_of: tuple[tuple[str, ...], ...] = ()
    """Of each of these groups a rule must name one claim at least."""
    never: dict[str, tuple[str, ...]] = {}
    """Values with which no run is let in unless its rule names the claim."""
    run: tuple[str, ...] = ()
    """Claims that together name the run; without one of them each token is a run of its own."""
    attempt: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    """Claims that people know the run by."""
    minted: bool = True
    """Whether a job gets a new token whenever it asks; where it does not, a rule may allow several exchanges."""
    uses: tuple[str, ...] = ("sig",)
    """Values of ``use`` with which a key of its key set signs tokens (RFC 7517 4.2)."""


GITHUB = Platform(
    name="github",
    title="GitHub Actions",
    issuer="https://token.actions.githubusercontent.com",
    conditions={
        "repository_id": Kind.NUMBER,
        "repository_owner_id": Kind.NUMBER,
        "workflow_file": Kind.TEXT,
        "environment": Kind.TEXT,
        "ref": Kind.GLOB,
        "event_name": Kind.TEXT,
        "runner_environment": Kind.TEXT,
    },
    anchors=("repository_id", "repository_owner_id"),
    one_of=(("workflow_file",), ("environment", "ref")),
    never={"event_name": ("pull_request", "pull_request_target")},
    run=("run_id",),
    attempt=("run_attempt",),
    shown=("repository", "workflow_file", "ref", "environment"),
)
"""GitHub Actions (docs.github.com, OpenID Connect reference)."""

GITLAB = Platform(
    name="gitlab",
    title="GitLab CI",
    issuer="https://gitlab.com",
    conditions={
        "project_id": Kind.NUMBER,
        "namespace_id": Kind.NUMBER,
        "ref": Kind.GLOB,
        "ref_path": Kind.GLOB,
        "ref_type": Kind.TEXT,
        "ref_protected": Kind.FLAG,
        "environment": Kind.TEXT,
        "environment_protected": Kind.FLAG,
        "pipeline_source": Kind.TEXT,
    },
    anchors=("project_id", "namespace_id"),
    one_of=(("ref", "ref_path", "environment"), ("ref_protected", "environment_protected")),
    never={"pipeline_source": ("merge_request_event", "external_pull_request_event")},
    run=("pipeline_id",),
    attempt=("job_id",),
    shown=("project_path", "ref", "environment"),
    minted=False,
)
"""GitLab CI (docs.gitlab.com, ID tokens)."""

AZURE = Platform(
    name="azure",
    title="Azure Pipelines",
    audience="api://AzureADTokenExchange",
    conditions={
        "org_id": Kind.UUID,
        "prj_id": Kind.UUID,
        "def_id": Kind.NUMBER,
        "rpo_id": Kind.TEXT,
        "rpo_ref": Kind.GLOB,
    },
    anchors=("org_id", "prj_id", "def_id"),
    one_of=(("rpo_ref",),),
    run=("run_id",),
    shown=("sub", "rpo_uri", "rpo_ref"),
)
"""Azure Pipelines (learn.microsoft.com, workload identity federation)."""

BUILDKITE = Platform(
    name="buildkite",
    title="Buildkite",
    issuer="https://agent.buildkite.com",
    conditions={
        "organization_id": Kind.UUID,
        "pipeline_id": Kind.UUID,
        "build_branch": Kind.GLOB,
        "build_tag": Kind.GLOB,
        "step_key": Kind.TEXT,
    },
    anchors=("organization_id", "pipeline_id"),
    one_of=(("build_branch", "build_tag"),),
    run=("build_number",),
    attempt=("job_id",),
    shown=("organization_slug", "pipeline_slug", "build_branch", "build_tag"),
)
"""Buildkite (buildkite.com/docs, OpenID Connect in pipelines)."""

CIRCLECI = Platform(
    name="circleci",
    title="CircleCI",
    issuer="https://oidc.circleci.com",
    conditions={
        "oidc.circleci.com/org-id": Kind.UUID,
        "oidc.circleci.com/project-id": Kind.UUID,
        "oidc.circleci.com/vcs-ref": Kind.GLOB,
        "oidc.circleci.com/pipeline-definition-id": Kind.UUID,
        "oidc.circleci.com/ssh-rerun": Kind.FLAG,
    },
    anchors=("oidc.circleci.com/org-id", "oidc.circleci.com/project-id"),
    one_of=(("oidc.circleci.com/vcs-ref",),),
    never={"oidc.circleci.com/ssh-rerun": ("true",)},  # somebody can log in to the machine that runs the job
    run=("oidc.circleci.com/pipeline-id",),
    attempt=("oidc.circleci.com/job-id",),
    shown=("oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref"),
)
"""CircleCI (circleci.com/docs, OpenID Connect tokens)."""

GOOGLE = Platform(
    name="google",
    title="Google Cloud",
    issuer="https://accounts.google.com",
    conditions={
        "sub": Kind.NUMBER,
        "google.compute_engine.project_number": Kind.NUMBER,
        "google.compute_engine.instance_id": Kind.NUMBER,
    },
    anchors=("sub",),
    run=("google.compute_engine.instance_id",),
    shown=("email", "google.compute_engine.project_id"),
)
"""Google Cloud's service accounts (cloud.google.com, identity tokens)."""

KUBERNETES = Platform(
    name="kubernetes",
    title="Kubernetes",
    conditions={
        "kubernetes.io.serviceaccount.uid": Kind.UUID,
        "kubernetes.io.namespace": Kind.TEXT,
        "kubernetes.io.pod.name": Kind.GLOB,
    },
    anchors=("kubernetes.io.serviceaccount.uid", "kubernetes.io.namespace"),
    run=("kubernetes.io.pod.uid",),
    shown=("sub", "kubernetes.io.pod.name"),
    minted=False,
)
"""A cluster's service accounts (kubernetes.io, bound service account tokens)."""

SPIFFE = Platform(
    name="spiffe",
    title="SPIFFE JWT-SVID",
    conditions={"sub": Kind.TEXT},
    anchors=("sub",),
    shown=("sub",),
    minted=False,
    uses=("sig", "jwt-svid"),  # SPIFFE Trust Domain and Bundle 4.2.2
)
"""A trust domain's workloads (SPIFFE, JWT-SVID)."""

PLATFORMS: dict[str, Platform] = {
    each.name: each for each in (GITHUB, GITLAB, AZURE, BUILDKITE, CIRCLECI, GOOGLE, KUBERNETES, SPIFFE)
}
"""Every platform, by the name that rules and configuration use."""

_WORKFLOWS = "/.github/workflows/"


def flat(claims: Mapping[str, object]) -> dict[str, str]:
    """Return the claims as text by their flattened names; lists and nulls are left out, for no rule can name them.

    GitHub's ``workflow_file`` is made here: the file of ``workflow_ref``, and only where it is the repository's own,
    for an organisation can have workflows of another repository run in it.
    """
    found: dict[str, str] = {}
    _flatten("", claims, found)
    found.pop("workflow_file", None)
    own, _, _ = found.get("workflow_ref", "").partition("@")
    repository = found.get("repository", "")
    if repository and own.startswith(repository + _WORKFLOWS):
        found["workflow_file"] = own.removeprefix(repository + _WORKFLOWS)
    return found


def _flatten(prefix: str, claims: Mapping[str, object], into: dict[str, str]) -> None:
    for name, value in claims.items():
        match value:
            case bool():
                into[prefix + name] = "true" if value else "false"
            case str() | int():
                into[prefix + name] = str(value)
            case dict():
                _flatten(f"{prefix}{name}.", value, into)
