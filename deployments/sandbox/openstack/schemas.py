"""Databases whose migrations SQLite cannot carry out: tables from the models, and the rows they begin with."""

# ruff: noqa: PLC0415 - the services' modules act on import; each is imported when its turn comes.
from __future__ import annotations

import json
import runpy
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack.config_infrastructure import ZONE

DEFAULT_RULES = "c33da356b165_security_group_default_rules"
"""The migration that keeps the rules each new security group begins with."""
LONG_AGO = datetime(2000, 1, 1)


def neutron(conf: Path) -> None:
    """Neutron's tables, the rules of new security groups, and the agents by which it knows its zones."""
    from neutron.common import config
    from neutron.db.migration.models import head
    from neutron.db.models.agent import Agent
    from neutron.db.models.securitygroup_default_rules import SecurityGroupDefaultRule
    from neutron_lib.db import api

    config.register_common_config_options()
    config.init(["--config-file", str(conf)])
    head.get_metadata().create_all(api.get_writer_session().get_bind())
    with api.get_writer_session() as session, session.begin():
        session.add_all(SecurityGroupDefaultRule(**rule) for rule in _default_rules())
        # Not alive, so that nothing is ever given to them to do: nobody would.
        session.add_all(
            Agent(
                id=str(uuid.uuid4()),
                agent_type=kind,
                binary=binary,
                topic=topic,
                host="sandbox",
                availability_zone=ZONE,
                admin_state_up=True,
                created_at=LONG_AGO,
                started_at=LONG_AGO,
                heartbeat_timestamp=LONG_AGO,
                configurations=json.dumps({"agent_mode": "legacy"}),
            )
            for kind, binary, topic in (
                ("DHCP agent", "neutron-dhcp-agent", "dhcp_agent"),
                ("L3 agent", "neutron-l3-agent", "l3_agent"),
            )
        )


def _default_rules() -> list[dict[str, Any]]:
    import neutron.db.migration

    folder = Path(neutron.db.migration.__file__).parent / "alembic_migrations/versions"
    (path,) = folder.rglob(f"{DEFAULT_RULES}.py")
    rules: list[dict[str, Any]] = runpy.run_path(str(path))["default_template_rules"]
    return rules


def octavia(conf: Path) -> None:
    """Octavia's tables, the words they may hold, and what deleted load balancers are said to have had."""
    from octavia.common import config, constants
    from octavia.db import api, base_models, models

    without_pool_timeout()
    config.init(["--config-file", str(conf)])
    base_models.BASE.metadata.create_all(api.get_engine())
    words = {
        models.ProvisioningStatus: constants.SUPPORTED_PROVISIONING_STATUSES,
        models.OperatingStatus: constants.SUPPORTED_OPERATING_STATUSES,
        models.Protocol: constants.SUPPORTED_PROTOCOLS,
        models.Algorithm: constants.SUPPORTED_LB_ALGORITHMS,
        models.AmphoraRoles: constants.SUPPORTED_AMPHORA_ROLES,
        models.LBTopology: constants.SUPPORTED_LB_TOPOLOGIES,
        models.SessionPersistenceType: constants.SUPPORTED_SP_TYPES,
        models.HealthMonitorType: constants.SUPPORTED_HEALTH_MONITOR_TYPES,
        models.VRRPAuthMethod: constants.SUPPORTED_VRRP_AUTH,
        models.L7RuleType: constants.SUPPORTED_L7RULE_TYPES,
        models.L7RuleCompareType: constants.SUPPORTED_L7RULE_COMPARE_TYPES,
        models.L7PolicyAction: constants.SUPPORTED_L7POLICY_ACTIONS,
        models.ClientAuthenticationMode: constants.SUPPORTED_CLIENT_AUTH_MODES,
    }
    nothing, gone = constants.NIL_UUID, "DELETED-PLACEHOLDER"
    with api.session().begin() as session:
        session.add_all(table(name=word) for table, found in words.items() for word in found)
        profile = {"name": gone, "provider_name": "DELETED", "id": nothing}
        session.add(models.FlavorProfile(**profile, flavor_data="{}"))
        session.add(models.AvailabilityZoneProfile(**profile, availability_zone_data="{}"))
        session.flush()
        session.add(models.Flavor(id=nothing, name=gone, enabled=False, flavor_profile_id=nothing))
        session.add(models.AvailabilityZone(name=nothing, enabled=False, availability_zone_profile_id=nothing))


def without_pool_timeout() -> None:
    """Octavia sets a time to wait for a connection, which SQLAlchemy refuses for SQLite's files."""
    import octavia.common.config  # noqa: F401 - sets it
    from oslo_config import cfg

    cfg.CONF.set_default("pool_timeout", None, group="database")
