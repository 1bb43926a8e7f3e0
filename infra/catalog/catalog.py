"""The catalogue: which add-ons there are, which an environment gets, and what exactly is installed. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra.catalog.models import AddonSpec, Chart, Crds, Ignore, Probe, Protects, RequiredSecret
from infra.catalog.order import waves
from infra.catalog.values import deep_merge, render
from infra.clients.errors import InvalidInput, Misconfigured
from infra.spec.models import Environment, Runner

HERE = Path(__file__).resolve().parent

CLUSTER_RESOURCES = "cert-manager"
"""Namespace in which cert-manager looks for the Secrets of ClusterIssuers: its own."""

WILDCARD_SECRET = ("nginx-ingress", "wildcard-tls")
"""Namespace and name of the TLS Secret the ingress serves for every host without one of its own."""


@dataclass(frozen=True)
class Release:
    """One Helm release, ready to install: coordinates and rendered values."""

    addon: str
    name: str
    namespace: str
    chart: Chart
    crds: Crds
    values: Mapping[str, Any] = field(hash=False)
    requires: tuple[RequiredSecret, ...] = ()


def wildcard(environment: Environment) -> bool:
    """Say whether the environment's certificate names `*.<domain>`, so that the ingress can serve it for every host.

    HTTP-01 cannot prove a wildcard (RFC 8555, 7.1.3): it takes DNS-01.
    """
    certificates = environment.spec.certificates
    return certificates is not None and certificates.challenge == "dns01"


@dataclass(frozen=True)
class Addon:
    """One add-on of the catalogue."""

    name: str
    folder: Path
    spec: AddonSpec

    @property
    def title(self) -> str:
        """What it is, for people."""
        return self.spec.title

    @property
    def needs(self) -> tuple[str, ...]:
        """Add-ons that have to work before this one is installed."""
        return self.spec.needs

    @property
    def probes(self) -> tuple[Probe, ...]:
        """How to know that it works, in the order to ask."""
        return self.spec.probes

    @property
    def ignore(self) -> tuple[Ignore, ...]:
        """Fields that others write by design."""
        return self.spec.ignore

    @property
    def protects(self) -> tuple[Protects, ...]:
        """What has to be gone before it is uninstalled."""
        return self.spec.protects

    def releases(self, environment: Environment) -> list[Release]:
        """Make the add-on's Helm releases for an environment, in the order to install them.

        Raises:
            InvalidInput: `spec.addons.<name>.values` names a release the add-on does not have.
            Misconfigured: a values template of ours is wrong.
        """
        theirs = self._their_values(environment)
        facts = {"always": True, "wildcard": wildcard(environment)}
        return [
            Release(
                addon=self.name,
                name=one.name,
                namespace=one.namespace,
                chart=one.chart,
                crds=one.crds,
                values=deep_merge(
                    render(self.folder, one.values, _context(environment)),
                    theirs.get(one.name, {}),
                ),
                requires=tuple(secret for secret in one.requires if facts[secret.when]),
            )
            for one in self.spec.releases
        ]

    def runner_release(self, environment: Environment, runner: Runner) -> Release:
        """Make the release for one entry of `spec.runners`.

        Raises:
            Misconfigured: this add-on runs no runners.
        """
        per_runner = self.spec.per_runner
        if per_runner is None:
            raise Misconfigured(f"The add-on {self.name} makes no release per runner.")
        return Release(
            addon=self.name,
            name=runner.name,
            namespace=per_runner.namespace,
            chart=per_runner.chart,
            crds=per_runner.crds,
            values=render(self.folder, per_runner.values, {**_context(environment), "runner": runner}),
        )

    def store_secrets(self) -> dict[str, frozenset[str]]:
        """The secrets it takes from the secret store, and the keys each must have."""
        needed = (secret for one in self.spec.releases for secret in one.requires)
        return {secret.name: frozenset(secret.keys) for secret in needed if secret.source == "store"}

    def charts(self) -> tuple[Chart, ...]:
        """Every chart the add-on may install."""
        own = tuple(one.chart for one in self.spec.releases)
        return own if self.spec.per_runner is None else (*own, self.spec.per_runner.chart)

    def _their_values(self, environment: Environment) -> dict[str, Mapping[str, Any]]:
        """Read the user's values as {release: values}: the only release's own, or one mapping per release."""
        choice = environment.spec.addons.get(self.name)
        values: Mapping[str, Any] = choice.values if choice else {}
        names = [one.name for one in self.spec.releases]
        if len(names) == 1:
            return {names[0]: values}
        for key, value in values.items():
            if key not in names:
                raise InvalidInput(
                    f"spec.addons.{self.name}.values.{key} is not a release of {self.name}.",
                    hint=f"It has several releases; give values under {_listed(names)}.{_guess(key, names)}",
                )
            if not isinstance(value, Mapping):
                raise InvalidInput(f"spec.addons.{self.name}.values.{key} has to be a mapping of chart values.")
        return dict(values)


class Catalog(Mapping[str, Addon]):
    """Every add-on Plumbline can install, by name."""

    def __init__(self, addons: Mapping[str, Addon]) -> None:
        self._addons = dict(sorted(addons.items()))
        for one in self._addons.values():
            for name in (name for name in one.needs if name not in self._addons):
                raise Misconfigured(f"The add-on {one.name} needs {name}, which is not in the catalogue.")
        waves({name: addon.needs for name, addon in self._addons.items()})

    @classmethod
    def load(cls, folder: Path = HERE) -> Catalog:
        """Read every `<folder>/<add-on>/addon.yaml`.

        Raises:
            Misconfigured: a file is not valid; the sentence says which, where in it, and what is wrong.
        """
        return cls({path.parent.name: _read(path) for path in sorted(folder.glob("*/addon.yaml"))})

    def addon(self, name: str) -> Addon:
        """Look an add-on up.

        Raises:
            InvalidInput: there is none of that name; the nearest name is suggested.
        """
        try:
            return self._addons[name]
        except KeyError:
            raise InvalidInput(
                f"There is no add-on {name!r}.",
                hint=f"The catalogue has {_listed(list(self._addons))}.{_guess(name, list(self._addons))}",
            ) from None

    def enabled(self, environment: Environment) -> tuple[str, ...]:
        """Say which add-ons an environment gets, sorted: those that `spec.addons` names and does not disable.

        Raises:
            InvalidInput: an unknown add-on is named, or one that needs a part of the spec that is left out.
        """
        for name in environment.spec.addons:
            self.addon(name)
        names = tuple(sorted(environment.spec.enabled_addons))
        for name in names:
            for part in self._addons[name].spec.parts:
                if getattr(environment.spec, part) is None:
                    raise InvalidInput(
                        f"The add-on {name} needs spec.{part}, which is left out.",
                        hint=f"Declare spec.{part}, or disable {name}.",
                    )
        return names

    def install_order(self, environment: Environment) -> tuple[tuple[str, ...], ...]:
        """Group the enabled add-ons into waves; those of one wave can be installed side by side.

        Raises:
            InvalidInput: an enabled add-on needs one that is not.
        """
        return waves({name: self._addons[name].needs for name in self.enabled(environment)})

    def releases(self, environment: Environment) -> list[Release]:
        """Make every add-on release of an environment, in install order; the runners' come from `runner_releases`."""
        return [
            release
            for wave in self.install_order(environment)
            for name in wave
            for release in self._addons[name].releases(environment)
        ]

    def runner_release(self, environment: Environment, runner: Runner) -> Release:
        """Make the release of one entry of `spec.runners`.

        Raises:
            Misconfigured: no add-on of the catalogue runs runners.
        """
        for addon in self._addons.values():
            if addon.spec.per_runner is not None:
                return addon.runner_release(environment, runner)
        raise Misconfigured("No add-on of the catalogue runs runners.")

    def runner_releases(self, environment: Environment) -> list[Release]:
        """Make the release of every entry of `spec.runners`."""
        return [self.runner_release(environment, runner) for runner in environment.spec.runners]

    def charts(self) -> tuple[Chart, ...]:
        """Every chart of the catalogue, once."""
        return tuple(dict.fromkeys(chart for addon in self._addons.values() for chart in addon.charts()))

    def __getitem__(self, name: str) -> Addon:
        return self._addons[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._addons)

    def __len__(self) -> int:
        return len(self._addons)


def _context(environment: Environment) -> dict[str, Any]:
    dns = environment.spec.dns
    return {
        "name": environment.metadata.name,
        "spec": environment.spec,
        "addons": frozenset(environment.spec.enabled_addons),
        # Designate writes names with their final dot; Kubernetes and certificates never do.
        "domain": dns.domain.rstrip(".") if dns else None,
        "wildcard": wildcard(environment),
        "wildcard_secret": "/".join(WILDCARD_SECRET),
    }


def _read(path: Path) -> Addon:
    name = path.parent.name
    try:
        spec = AddonSpec.model_validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Misconfigured(f"The add-on {name}: {where}: {first['msg']}.") from error
    except (yaml.YAMLError, OSError) as error:
        raise Misconfigured(f"The add-on {name}: addon.yaml cannot be read.", detail=str(error)) from error
    for template in [one.values for one in spec.releases] + ([spec.per_runner.values] if spec.per_runner else []):
        if not (path.parent / template).is_file():
            raise Misconfigured(f"The add-on {name}: the values template {template} does not exist.")
    return Addon(name=name, folder=path.parent, spec=spec)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _guess(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
