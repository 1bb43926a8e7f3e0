"""Cinder volume driver `sandbox`: volumes and snapshots that exist in Cinder's books alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

from cinder import exception
from cinder.volume import driver

from deployments.sandbox.openstack.faults import FaultFile, fate

GIGABYTES = 100_000
"""What the backend says it has; projects are limited by quota."""
LOOK_SECONDS = 0.5
"""How often something that hangs looks whether it is still to hang."""

Change = dict[str, Any]


class SandboxVolumeDriver(driver.VolumeDriver):  # type: ignore[misc]
    """What Cinder asks of a driver."""

    VERSION = "1.0"
    home: ClassVar[Path]
    """The sandbox's state folder; set by the service that loads us."""

    def do_setup(self, context: Any) -> None:
        self._faults = FaultFile(self.home / "faults.json")

    def check_for_setup_error(self) -> None:
        """There is nothing that could be missing."""

    def _update_volume_stats(self) -> None:
        pool = {
            "pool_name": "sandbox",
            "total_capacity_gb": GIGABYTES,
            "free_capacity_gb": GIGABYTES,
            "reserved_percentage": 0,
            "multiattach": True,
            "thin_provisioning_support": True,
        }
        self._stats = {
            "volume_backend_name": "sandbox",
            "vendor_name": "Plumbline",
            "driver_version": self.VERSION,
            "storage_protocol": "none",
            "pools": [pool],
        }

    def create_volume(self, volume: Any) -> Change:
        self._suffer("create", volume)
        return {}

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> Change:
        return self.create_volume(volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> Change:
        return self.create_volume(volume)

    def clone_image(
        self,
        context: Any,
        volume: Any,
        image_location: Any,
        image_meta: Any,
        image_service: Any,
    ) -> tuple[Change, bool]:
        return self.create_volume(volume), True

    def delete_volume(self, volume: Any) -> None:
        self._suffer("delete", volume)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """A size in Cinder's books."""

    def create_snapshot(self, snapshot: Any) -> Change:
        return {}

    def delete_snapshot(self, snapshot: Any) -> None:
        """An entry in Cinder's books."""

    def ensure_export(self, context: Any, volume: Any) -> Change:
        return {}

    def create_export(self, context: Any, volume: Any, connector: Any) -> Change:
        return {}

    def remove_export(self, context: Any, volume: Any) -> None:
        """Where a backend takes a volume from a server."""
        if volume["attach_status"] == "attached":
            self._suffer("detach", volume)

    def initialize_connection(self, volume: Any, connector: Any) -> Change:
        return {"driver_volume_type": "sandbox", "data": {}}

    def terminate_connection(self, volume: Any, connector: Any, **options: Any) -> None:
        self._suffer("detach", volume)

    def _suffer(self, doing: str, volume: Any) -> None:
        """Go wrong as faults.json says."""
        while True:
            mishap = fate(self._faults.current().volumes, volume["display_name"] or volume["id"])
            match getattr(mishap, doing):
                case "hang":
                    time.sleep(LOOK_SECONDS)
                case "fail":
                    raise exception.VolumeBackendAPIException(data=mishap.reason)
                case _:
                    return
