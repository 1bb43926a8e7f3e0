"""A packed chart, and whether a release is already deployed from it."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from infra.clients.errors import InvalidInput
from infra.clients.helm_records import HelmRelease

DIGEST = re.compile(r"chart sha256:([0-9a-f]{64})")


class ChartFile(BaseModel):
    """A packed chart."""

    model_config = ConfigDict(frozen=True)

    path: Path
    name: str
    version: str
    sha256: str


def description(chart: ChartFile) -> str:
    """What a revision made from a chart carries, so that another chart of the same version is noticed."""
    return f"Plumbline: chart sha256:{chart.sha256}"


def read_chart(path: Path) -> ChartFile:
    """Name, version and digest of a packed chart.

    Raises:
        InvalidInput: it is no packed chart.
    """
    try:
        content = path.read_bytes()
        with tarfile.open(path, "r:gz") as archive:
            inside = next(item for item in archive if re.fullmatch(r"(\./)?[^/]+/Chart\.yaml", item.name))
            stream = archive.extractfile(inside)
            metadata = yaml.load(stream.read(), yaml.CSafeLoader) if stream else {}
        return ChartFile(
            path=path.absolute(),
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            sha256=hashlib.sha256(content).hexdigest(),
        )
    except (OSError, tarfile.TarError, StopIteration, yaml.YAMLError, KeyError, TypeError, EOFError) as error:
        raise InvalidInput(f"{path} is not a packed chart.", detail=f"{type(error).__name__}: {error}") from error


def same(release: HelmRelease, chart: ChartFile, values: Mapping[str, Any]) -> bool:
    """Whether a release is deployed from exactly this chart and these values."""
    recorded = DIGEST.search(release.description)
    return (
        release.status == "deployed"
        and (release.chart, release.chart_version) == (chart.name, chart.version)
        and (recorded is None or recorded.group(1) == chart.sha256)
        and _plain(release.values) == _plain(json.loads(json.dumps(values)))
    )


def _plain(value: Any) -> Any:
    """Values without nulls: to Helm, null means "not set"."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
