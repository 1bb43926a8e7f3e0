"""Everything that has to lie in the state folder before the services start. Run again, it changes nothing."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import yaml

from deployments.sandbox import authority, charts, environment, front, repositories, terraform
from deployments.sandbox.acme import Acme
from deployments.sandbox.layout import Layout, write, write_json
from deployments.sandbox.openstack import config
from deployments.sandbox.openstack.config_common import USERS, Cloud
from deployments.sandbox.settings import BEHIND, NAME_SERVERS, ROOT, SandboxSettings
from deployments.sandbox.upstream import build

LOG_LIMIT = 32 * 1024 * 1024
"""Bytes after which a log is put aside at the next start."""


def prepare(settings: SandboxSettings, layout: Layout) -> None:
    """Write configuration, credentials, certificates, repositories and charts."""
    _rotate(layout.log)
    cloud = describe(settings, layout)
    for folder in config.folders(cloud):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for link, target in config.links(cloud).items():
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    for path, text in config.files(cloud).items():
        write(path, text)
    write_json(layout.front, front.openstack(settings, layout))
    write(layout.clouds, yaml.safe_dump(config.clouds(cloud), sort_keys=False))
    authority.make_authority(layout.ca)
    acme = Acme.of(settings, layout)
    acme.configure(http_port=settings.ingress_http_port, tls_port=settings.ingress_https_port)
    authority.make_github_app(layout.secrets / "github-app")
    _repositories(settings, layout)
    charts.build(layout.charts, settings.url("charts"))
    providers = {"PLUMBLINE_TERRAFORM_PROVIDERS": _terraform(settings, layout)}
    environment.merge(layout.environment, variables(settings, layout) | providers, path=search_path())


def describe(settings: SandboxSettings, layout: Layout) -> Cloud:
    """The cloud that is configured."""
    return Cloud(
        home=layout.openstack,
        log=layout.log,
        etc=settings.venv.absolute() / "etc",
        ports=settings.ports(),
        behind=BEHIND,
        name_servers=NAME_SERVERS,
        passwords=passwords(layout),
    )


def passwords(layout: Layout) -> dict[str, str]:
    """The users' passwords: random, made once for each sandbox."""
    path = layout.openstack / "passwords.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {user: secrets.token_urlsafe(24) for user in USERS if user not in known}
    if missing:
        write_json(path, known | missing)
    return known | missing


def variables(settings: SandboxSettings, layout: Layout) -> dict[str, str]:
    """What `.sandbox/env` exports."""
    servers, acme = f"127.0.0.1:{settings.port('resolver')}", Acme.of(settings, layout)
    return {
        "OS_CLIENT_CONFIG_FILE": str(layout.clouds),
        "TF_CLI_CONFIG_FILE": str(layout.terraformrc),
        "PLUMBLINE_ENVIRONMENTS_REPOSITORY": str(layout.git / "environments.git"),
        "PLUMBLINE_SECRETS_DIR": str(layout.secrets),
        "PLUMBLINE_STATE_DIR": str(layout.state),
        "PLUMBLINE_CHART_MIRROR": settings.url("charts"),
        "PLUMBLINE_DNS_PORT": str(settings.port("dns")),
        "PLUMBLINE_DNS_RESOLVERS": servers,
        "PLUMBLINE_TLS_CA_FILE": str(acme.roots),
        "PLUMBLINE_ACME_SERVER": acme.server,
        "PLUMBLINE_ACME_CA_FILE": str(layout.ca / "ca.crt"),
        "PLUMBLINE_INGRESS_HTTPS_PORT": str(settings.ingress_https_port),
        "PLUMBLINE_SANDBOX_HOME": str(layout.home),
        "PLUMBLINE_SANDBOX_PORT_BASE": str(settings.port_base),
    }


def search_path() -> tuple[str, ...]:
    """Folders with the programs the project uses: its own environment's, then the tools made by set-up."""
    folders = [Path(sys.executable).parent, ROOT / ".tools/bin", ROOT / ".tools"]
    return tuple(str(folder) for folder in folders if folder.is_dir())


def _repositories(settings: SandboxSettings, layout: Layout) -> None:
    # The examples name the default port; a sandbox at other ports gets its own.
    default, ours = SandboxSettings.model_construct().url("git"), settings.url("git")
    declared = {
        f"environments/{file.name}": file.read_text().replace(f"{default}/", f"{ours}/").encode()
        for file in sorted((ROOT / "infra/environments").glob("*.yaml"))
    }
    repositories.seed(layout.git / "environments.git", declared, "The example environments")
    applications = repositories.folder_files(ROOT / "deployments/sandbox/apps")
    repositories.seed(layout.git / "apps.git", applications, "The example applications")


def _terraform(settings: SandboxSettings, layout: Layout) -> terraform.Origin:
    """Have terraform find the provider; returns where it comes from."""
    origin = terraform.choose(layout.terraform_origin, settings.terraform_providers)
    if origin == "mirror":
        terraform.fill(layout.terraform_mirror, build.program(terraform.PROGRAM))
        write(layout.terraformrc, terraform.from_mirror(layout.terraform_mirror))
    else:
        write(layout.terraformrc, terraform.DIRECT)
    return origin


def _rotate(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_name(f"{path.name}.1"))
