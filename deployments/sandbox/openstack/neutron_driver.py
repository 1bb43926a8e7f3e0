"""ML2 mechanism driver `sandbox`: every port is bound at once and up, without an agent; nothing carries packets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from neutron_lib import constants
from neutron_lib import exceptions as neutron_exceptions
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api

from deployments.sandbox.openstack.faults import FaultFile


class SandboxMechanismDriver(api.MechanismDriver):  # type: ignore[misc]
    """What ML2 asks of a driver, and what agents would report."""

    home: ClassVar[Path]
    """The sandbox's state folder; set by the service that loads us."""

    def initialize(self) -> None:
        self._faults = FaultFile(self.home / "faults.json")
        for event in (events.AFTER_CREATE, events.AFTER_UPDATE):
            registry.subscribe(_floating_ip_changed, resources.FLOATING_IP, event)
        registry.subscribe(_router_interface_made, resources.ROUTER_INTERFACE, events.AFTER_CREATE)

    def create_port_precommit(self, context: Any) -> None:
        """Refuse a floating IP as a pool without a free address does."""
        port = context.current
        if port["device_owner"] == constants.DEVICE_OWNER_FLOATINGIP and self._faults.current().no_floating_ips:
            raise neutron_exceptions.IpAddressGenerationFailure(net_id=port["network_id"])

    def bind_port(self, context: Any) -> None:
        segment = context.segments_to_bind[0]
        context.set_binding(segment["id"], "ovs", {}, status=constants.PORT_STATUS_ACTIVE)


def _floating_ip_changed(resource: str, event: str, trigger: Any, payload: Any) -> None:
    floating_ip = payload.latest_state
    status = constants.FLOATINGIP_STATUS_ACTIVE if floating_ip["port_id"] else constants.FLOATINGIP_STATUS_DOWN
    router = directory.get_plugin(plugin_constants.L3)
    router.update_floatingip_status(payload.context.elevated(), floating_ip["id"], status)


def _router_interface_made(resource: str, event: str, trigger: Any, payload: Any) -> None:
    port = payload.metadata["port"]
    directory.get_plugin().update_port_status(payload.context.elevated(), port["id"], constants.PORT_STATUS_ACTIVE)
