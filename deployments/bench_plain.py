"""What somebody without Plumbline would run: the same tools, one after another, in a shell script.

Same module and variables, same charts and values, same manifests. It asks nobody whether anything works, beyond what
`helm --wait` and two `kubectl wait` say, and it makes no DNS record.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.catalog import Catalog, Release
from infra.planes import addons, certificates, delivery, storage
from infra.settings import Settings
from infra.spec.models import Environment
from infra.terraform.folder import MODULE
from infra.terraform.variables import Variables

_READ_KUBECONFIG = (
    "import json, sys; of = [r for r in json.load(sys.stdin)['resources'] if r['type'].endswith('_cluster_v1')]; "
    "print(of[0]['instances'][0]['attributes']['kubeconfig']['raw_config'])"
)
_KUBECONFIG = f"terraform state pull | python3 -c {shlex.quote(_READ_KUBECONFIG)} > ../kubeconfig"

_PERSISTENTLY = """attempts=0
until {command}; do
  [ $((attempts += 1)) -lt 100 ]
  sleep 2
  for doubted in $(terraform state list | grep containerinfra); do terraform untaint "$doubted" || true; done
done"""
"""The provider gives up on what Magnum goes on with: whoever runs it by hand trusts that again, and runs it again."""


@dataclass(frozen=True)
class Plain:
    """The two scripts of one environment, in a folder with all they need."""

    folder: Path

    @property
    def create(self) -> Path:
        """Makes the environment."""
        return self.folder / "create.sh"

    @property
    def destroy(self) -> Path:
        """Takes it away again."""
        return self.folder / "destroy.sh"


def prepare(folder: Path, environment: Environment, catalog: Catalog, settings: Settings) -> Plain:
    """Write the scripts and what they read.

    Args:
        folder: made here, 0700.
        settings: of the platform that is measured: its chart mirror, secrets and ACME server.
    """
    folder.mkdir(mode=0o700, parents=True)
    module = folder / "terraform"
    shutil.copytree(MODULE, module, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    (module / "plain.auto.tfvars.json").write_text(json.dumps(Variables.of(environment).document()))
    releases = [
        release
        for addon in addons.order(environment, catalog)
        for release in addons.desired(environment, addon, catalog).releases
    ]
    runners = [catalog.runner_release(environment, runner) for runner in environment.spec.runners]
    for release in (*releases, *runners):
        (folder / f"{release.name}.values.yaml").write_text(yaml.safe_dump(release.values))
    for name, objects in manifests(environment, settings).items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))
    plain = Plain(folder)
    plain.create.write_text(script(environment, releases, runners, settings))
    uninstall = [f"helm uninstall {one.name} -n {one.namespace} --wait" for one in runners]
    destroy = _PERSISTENTLY.format(command="terraform destroy -auto-approve -input=false")
    plain.destroy.write_text(_text([*uninstall, "cd terraform", destroy]))
    return plain


def manifests(environment: Environment, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The objects to apply, by file, in their order (pure)."""
    issued, served, delivered = (
        certificates.issuing(environment, settings),
        certificates.serving(environment),
        delivery.desired(environment),
    )
    found = {
        "storage": [storage.desired(environment).manifest],
        "certificate": [*(issued.objects if issued else ()), *(served.objects if served else ())],
        "delivery": [delivered.application] if delivered else [],
    }
    return {name: objects for name, objects in found.items() if objects}


def script(
    environment: Environment, releases: Sequence[Release], runners: Sequence[Release], settings: Settings
) -> str:
    """The script that makes everything (pure)."""
    lines = [
        "cd terraform",
        "terraform init -input=false",
        _PERSISTENTLY.format(command="terraform apply -auto-approve -input=false"),
        _KUBECONFIG,
        "cd ..",
        'export KUBECONFIG="$PWD/kubeconfig"',
        "kubectl wait --for=condition=Ready node --all --timeout=300s",
        "kubectl apply -f storage.yaml",
        *(_install(release, settings.chart_mirror) for release in releases),
    ]
    if environment.spec.certificates is not None and environment.spec.dns is not None:
        lines += [
            "kubectl apply -f certificate.yaml",
            "kubectl wait --for=condition=Ready certificate -A --all --timeout=300s",
        ]
    if environment.spec.delivery is not None:
        healthy = f"'--for=jsonpath={{.status.health.status}}=Healthy' application/{environment.name} --timeout=300s"
        lines += ["kubectl apply -f delivery.yaml", f"kubectl wait -n {delivery.NAMESPACE} {healthy}"]
    for runner, release in zip(environment.spec.runners, runners, strict=True):
        source = shlex.quote(str(settings.secrets_dir / runner.credentials))
        lines += [
            f"kubectl create namespace {release.namespace} --dry-run=client -o yaml | kubectl apply -f -",
            f"kubectl create secret generic {runner.credentials} -n {release.namespace} --from-file={source}",
            _install(release, settings.chart_mirror),
        ]
    return _text(lines)


def _install(release: Release, mirror: str | None) -> str:
    return (
        f"helm upgrade --install {release.name} {release.chart.name} --repo {mirror} --version {release.chart.version}"
        f" -n {release.namespace} --create-namespace -f {release.name}.values.yaml --wait --timeout 5m"
    )


def _text(lines: Sequence[str]) -> str:
    head = ["#!/bin/bash", "set -euo pipefail", "umask 077", 'cd "$(dirname "$0")"']
    # The kubeconfig of the first script serves the second, too.
    head.append('if [ -e kubeconfig ]; then export KUBECONFIG="$PWD/kubeconfig"; fi')
    return "\n".join([*head, *lines]) + "\n"
