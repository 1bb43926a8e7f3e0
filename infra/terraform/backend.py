"""Where the state lives: the backend block for one environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.clients.errors import Misconfigured

PLACEHOLDER = "{environment}"

_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "pg": {"schema_name": f"plumbline_{PLACEHOLDER}"},
    "s3": {"key": f"plumbline/{PLACEHOLDER}.tfstate"},
}
"""What tells environments apart where the site says nothing."""

_REQUIRED = {"s3": ("bucket",), "http": ("address",)}


def override(kind: str, config: Mapping[str, str], *, environment: str, folder: Path) -> dict[str, Any]:
    """The content of `backend_override.tf.json`.

    Args:
        kind: local, pg, s3 or http.
        config: the site's backend arguments; `{environment}` stands for the environment's name.
        folder: the environment's working folder, where the local backend keeps the state.

    Raises:
        Misconfigured: an argument is missing, or all environments would share one state.
    """
    defaults = {"path": str(folder / "terraform.tfstate")} if kind == "local" else _DEFAULTS.get(kind, {})
    arguments = {**defaults, **config}
    setting = "PLUMBLINE_TERRAFORM_BACKEND_CONFIG"
    missing = [name for name in _REQUIRED.get(kind, ()) if not arguments.get(name)]
    if missing:
        raise Misconfigured(f"The Terraform backend {kind} needs {' and '.join(missing)}.", hint=f"Set {setting}.")
    local_default = kind == "local" and "path" not in config
    if not local_default and not any(PLACEHOLDER in value for value in arguments.values()):
        raise Misconfigured(
            f"All environments would share one Terraform state in the backend {kind}.",
            hint=f"Let a value in {setting} contain {PLACEHOLDER}.",
        )
    rendered = {name: value.replace(PLACEHOLDER, environment) for name, value in sorted(arguments.items())}
    return {"terraform": {"backend": {kind: rendered}}}
