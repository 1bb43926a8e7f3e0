"""Designate backend `sandbox`: tells a name server which zones are its, as `rndc addzone` tells BIND.

The name servers are processes of their own (deployments.sandbox.dns). Each has a folder with one file per zone it is to
serve; the contents come by NOTIFY and AXFR from Designate's mdns, as with any secondary.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from designate.backend import base


def zone_file(folder: Path, name_server: str, zone: str) -> Path:
    """The file that says that `name_server` serves `zone`."""
    return folder / name_server / "zones" / f"{quote(zone.lower(), safe='.-_*')}.json"


class SandboxBackend(base.Backend):  # type: ignore[misc]
    """One target of the pool: one name server."""

    __plugin_name__ = "sandbox"
    folder: ClassVar[Path]
    """Of all name servers; set by the service that loads us."""

    def create_zone(self, context: Any, zone: Any) -> None:
        """Have the server serve the zone; the worker's NOTIFY follows."""
        path = self._path(zone)
        path.parent.mkdir(parents=True, exist_ok=True)
        masters = [{"host": master["host"], "port": int(master["port"])} for master in self.masters]
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_text(json.dumps({"zone": zone["name"], "masters": masters}))
        temporary.replace(path)

    def update_zone(self, context: Any, zone: Any) -> None:
        """Nothing of the zone's contents goes this way, but a server may have lost its list."""
        if not self._path(zone).exists():
            self.create_zone(context, zone)

    def delete_zone(self, context: Any, zone: Any, zone_params: Any = None) -> None:
        """Have the server forget the zone."""
        self._path(zone).unlink(missing_ok=True)

    def _path(self, zone: Any) -> Path:
        return zone_file(self.folder, self.options.get("name"), zone["name"])
