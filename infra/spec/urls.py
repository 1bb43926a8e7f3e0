"""URLs, revisions and folders of git, each refused in a sentence that says what would be right."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from infra.spec.problems import looks_secret, show, wrong


def _split(value: str, example: str) -> SplitResult:
    """Split a URL and refuse what no URL of ours may have; the value is never quoted."""
    if value != value.strip() or not value.isprintable() or " " in value:
        raise wrong("has blanks or control characters", f"write a plain URL, such as {example}")
    try:
        parts = urlsplit(value)
        port_is_zero = parts.port == 0
    except ValueError:
        raise wrong("is not a URL that can be read", f"write one such as {example}") from None
    if parts.password is not None:
        raise wrong("has a password inside", "name a secret instead; then revoke this password")
    if parts.query or parts.fragment:
        raise wrong("has a query or a fragment", f"write a plain URL, such as {example}")
    if not parts.hostname or port_is_zero:
        raise wrong("has no host, or port 0", f"write one such as {example}")
    return parts


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def repository_problem(value: str, *, example: str = "https://git.example.org/apps.git") -> tuple[str, str] | None:
    """Say what is wrong with the URL of a git repository, as (reason, right)."""
    try:
        _repository(value, example)
    except PydanticCustomError as error:
        context = error.context or {}
        return str(context["reason"]), str(context["right"])
    return None


def _repository(value: str, example: str = "https://git.example.org/apps.git") -> str:
    scp = re.fullmatch(r"([A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+):(?!//)(.+)", value)
    if scp and not value.startswith("/"):
        safe = not looks_secret(value)
        right = f"write ssh://{scp[1] or ''}{scp[2]}/{scp[3].lstrip('/')}" if safe else f"write one such as {example}"
        raise wrong("is in scp form, which is no URL", right)
    parts = _split(value, example)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise wrong("is http, which anyone on the way can read and change", "use https:// or ssh://")
    if parts.scheme not in ("https", "ssh", "http"):
        raise wrong(f"has the scheme {show(parts.scheme)}", "use https:// or ssh://")
    if parts.username is not None and (parts.scheme != "ssh" or looks_secret(parts.username)):
        raise wrong("has a user name or token inside", "name a secret in `credentials` instead")
    if not parts.path.strip("/"):
        raise wrong("names a host but no repository", f"write one such as {example}")
    return value


RepositoryUrl = Annotated[
    str, AfterValidator(_repository), Field(json_schema_extra={"pattern": "^(https|ssh|http)://[^/]+/.+$"})
]


def _github_url(value: str) -> str:
    example = "https://github.com/example/app"
    parts = _split(value, example)
    if parts.username is not None:
        raise wrong("has a user name or token inside", "name a secret in `credentials` instead")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise wrong("is not an https:// URL", f"write one such as {example}")
    segments = parts.path.removesuffix("/").split("/")[1:]
    valid = all(re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", segment) and segment.strip(".") for segment in segments)
    if not valid or len(segments) not in (1, 2) or (len(segments) == 1 and segments[0] == "enterprises"):
        right = f"write an organisation, a repository or an enterprise: https://github.com/example, {example}"
        raise wrong("is not the URL of something on GitHub that has runners", right)
    if segments[-1].endswith(".git"):
        raise wrong("ends in .git", "write the page's address, without .git")
    return value.removesuffix("/")


GitHubUrl = Annotated[
    str, AfterValidator(_github_url), Field(json_schema_extra={"pattern": "^https?://[^/]+/[^/]+(/[^/]+)?/?$"})
]


def _acme_url(value: str) -> str:
    """Check the URL of an ACME directory: https always (RFC 8555, 6.1)."""
    example = "https://acme.example.org/directory"
    parts = _split(value, example)
    if parts.username is not None:
        raise wrong("has a user name inside", f"write a plain URL, such as {example}")
    if parts.scheme != "https":
        raise wrong("is not an https:// URL, which ACME asks for", f"write one such as {example}")
    if not parts.path.strip("/"):
        raise wrong("names a host but no directory", f"write one such as {example}")
    return value


AcmeUrl = Annotated[str, AfterValidator(_acme_url), Field(json_schema_extra={"pattern": "^https://[^/]+/.+$"})]


def revision_problem(value: str) -> tuple[str, str] | None:
    """Say what is wrong with a branch, tag or commit (git-check-ref-format), as (reason, right)."""
    right = "write a branch, a tag or a commit, such as main"
    if not value:
        return "is empty", right
    if len(value) > 250:
        return f"has {len(value)} characters", right
    forbidden = re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//", value)
    parts = value.split("/")
    if forbidden or value[0] in "-/" or value[-1] in "/." or value == "@":
        return f"{show(value)} is not a git revision", right
    if any(part.startswith(".") or part.endswith(".lock") for part in parts):
        return f"{show(value)} is not a git revision", right
    return None


def _revision(value: str) -> str:
    if problem := revision_problem(value):
        raise wrong(*problem)
    return value


Revision = Annotated[str, AfterValidator(_revision), Field(json_schema_extra={"minLength": 1, "maxLength": 250})]


def _folder(value: str) -> str:
    right = "write a folder inside the repository, such as environments/dev, or . for its root"
    if not value or value != value.strip() or not value.isprintable() or "\\" in value or len(value) > 1024:
        raise wrong("is not a folder's path", right)
    if value.startswith("/"):
        raise wrong(f"{show(value)} is absolute", right)
    if ".." in value.split("/"):
        raise wrong(f"{show(value)} leaves the repository", right)
    if "" in value.removesuffix("/").split("/"):
        raise wrong(f"{show(value)} has an empty part", right)
    return value.removesuffix("/")


Folder = Annotated[
    str,
    AfterValidator(_folder),
    Field(json_schema_extra={"minLength": 1, "maxLength": 1024, "pattern": "^[^/].*$"}),
]
