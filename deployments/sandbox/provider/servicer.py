"""The plugin protocol: what terraform calls, in terms of tables and resources."""

from __future__ import annotations

import json
import re
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from tf.gen import tfplugin_pb2 as pb
from tf.types import Unknown
from tf.utils import Diagnostics, read_dynamic_value, to_dynamic_value

from deployments.sandbox.provider import tables
from deployments.sandbox.provider.cloud import Cloud, CloudError, Stopped
from deployments.sandbox.provider.resource import DataSource, Resource
from deployments.sandbox.provider.schema import schema
from deployments.sandbox.provider.tables import State, Table
from deployments.sandbox.provider.waits import WaitFailed

PREFIX = "openstack_"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Servicer:
    """One provider process.

    Args:
        provider: the provider's own arguments.
        resources: resource types.
        sources: data sources.
        connect: makes the cloud from the provider's configuration; called once, when first needed.
    """

    def __init__(
        self,
        provider: Table,
        resources: Iterable[type[Resource]],
        sources: Iterable[type[DataSource]],
        connect: Callable[[State, threading.Event], Cloud],
    ) -> None:
        self.stopping = threading.Event()
        self._provider = provider
        self._resources = {PREFIX + kind.name: kind for kind in resources}
        self._sources = {PREFIX + kind.name: kind for kind in sources}
        self._connect = connect
        self._config: State = {}
        self._cloud: Cloud | None = None
        self._lock = threading.Lock()

    # -- what there is ---------------------------------------------------------------------------------------------

    def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.GetMetadata.Response()

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.GetProviderSchema.Response(
            provider=schema(self._provider),
            resource_schemas={name: schema(kind.table) for name, kind in self._resources.items()},
            data_source_schemas={name: schema(kind.table) for name, kind in self._sources.items()},
        )

    def GetFunctions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.GetFunctions.Response()

    def CallFunction(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.CallFunction.Response(error=pb.FunctionError(text="this provider has no functions"))

    # -- configuration ---------------------------------------------------------------------------------------------

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = self._resources[request.type_name]
        said = Diagnostics()
        for sentence in kind.validate(_detached(kind), read_dynamic_value(request.config)):
            said.add_error(sentence)
        return pb.ValidateResourceConfig.Response(diagnostics=said.to_pb())

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._config = read_dynamic_value(request.config)
        return pb.ConfigureProvider.Response()

    def cloud(self) -> Cloud:
        """The cloud; connected on first use, so that schema and validation cost no request."""
        with self._lock:
            if self._cloud is None:
                self._cloud = self._connect(self._config, self.stopping)
            return self._cloud

    # -- a resource's life -----------------------------------------------------------------------------------------

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802
        state = json.loads(request.raw_state.json)
        kind = self._resources[request.type_name]
        known = [*kind.table.names(), *(["timeouts"] if kind.table.timeouts else [])]
        return pb.UpgradeResourceState.Response(
            upgraded_state=to_dynamic_value({name: state.get(name) for name in known})
        )

    def MoveResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802
        said = Diagnostics().add_error("Moving state between resource types is not supported")
        return pb.MoveResourceState.Response(diagnostics=said.to_pb())

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        said, kind = Diagnostics(), self._resources[request.type_name]
        state = read_dynamic_value(request.current_state)
        after: State | None = state
        with _reported(said, f"Error retrieving {request.type_name} {state['id']}"):
            observed = kind(self.cloud()).read(state)
            after = None if observed is None else tables.settle(kind.table, observed, state)
        return pb.ReadResource.Response(
            new_state=to_dynamic_value(after), diagnostics=said.to_pb(), private=request.private
        )

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind = self._resources[request.type_name]
        prior, proposed = read_dynamic_value(request.prior_state), read_dynamic_value(request.proposed_new_state)
        forcing: list[str] = []
        if proposed is not None:
            proposed, forcing = tables.plan(kind.table, prior, proposed, read_dynamic_value(request.config))
        steps = [pb.AttributePath(steps=[pb.AttributePath.Step(attribute_name=name)]) for name in forcing]
        return pb.PlanResourceChange.Response(
            planned_state=to_dynamic_value(proposed),
            requires_replace=steps,
            planned_private=request.prior_private,
            legacy_type_system=True,
        )

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        said = Diagnostics()
        after = self._apply(
            request.type_name,
            read_dynamic_value(request.prior_state),
            read_dynamic_value(request.planned_state),
            said,
        )
        return pb.ApplyResourceChange.Response(
            new_state=to_dynamic_value(after),
            private=request.planned_private,
            diagnostics=said.to_pb(),
            legacy_type_system=True,
        )

    def _apply(self, type_name: str, prior: State | None, planned: State | None, said: Any) -> State | None:
        kind = self._resources[type_name]
        if prior is not None and planned is None:
            after: State | None = prior
            with _reported(said, f"Error deleting {type_name} {prior['id']}"):
                kind(self.cloud(), _seconds(prior.get("timeouts"))).delete(prior)
                after = None
            return after
        wanted = {name: None if value is Unknown else value for name, value in (planned or {}).items()}
        if prior is not None:
            after = prior
            with _reported(said, f"Error updating {type_name} {prior['id']}"):
                observed = kind(self.cloud(), _seconds(wanted.get("timeouts"))).update(prior, wanted)
                after = tables.settle(kind.table, observed, wanted)
            return after
        after = None

        def created(identifier: str) -> None:
            nonlocal after
            after = tables.partial(kind.table, wanted, identifier)

        with _reported(said, f"Error creating {type_name}"):
            observed = kind(self.cloud(), _seconds(wanted.get("timeouts"))).create(wanted, created)
            after = tables.settle(kind.table, observed, wanted)
        return after

    def ImportResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802
        # As upstream: the identifier alone; terraform reads the rest, and complains when there is nothing.
        kind = self._resources[request.type_name]
        state = tables.partial(kind.table, {}, request.id)
        if kind.table.timeouts:
            state["timeouts"] = None
        imported = pb.ImportResourceState.ImportedResource(type_name=request.type_name, state=to_dynamic_value(state))
        return pb.ImportResourceState.Response(imported_resources=[imported])

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        said, state = Diagnostics(), None
        kind = self._sources[request.type_name]
        with _reported(said, f"Error reading {request.type_name}"):
            state = kind(self.cloud()).read(read_dynamic_value(request.config))
        return pb.ReadDataSource.Response(state=to_dynamic_value(state), diagnostics=said.to_pb())

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        # Calls in flight end their waits and answer with what they made so far: terraform then has it in its state.
        self.stopping.set()
        return pb.StopProvider.Response()


class _reported:  # noqa: N801
    """Turns what a resource raises into a diagnostic, so that the call still answers with a state."""

    def __init__(self, said: Any, doing: str) -> None:
        self._said, self._doing = said, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if error is None:
            return False
        if isinstance(error, WaitFailed) and str(error).startswith("Error"):
            self._said.add_error(str(error))
        elif isinstance(error, (CloudError, WaitFailed, Stopped)):
            self._said.add_error(f"{self._doing}: {error}")
        elif isinstance(error, Exception):
            traceback.print_exception(error)
            self._said.add_error(f"{self._doing}: {type(error).__name__}: {error}", "This is a bug in the provider.")
        else:
            return False
        return True


def _seconds(timeouts: dict[str, str | None] | None) -> dict[str, float]:
    """Go durations such as "1h30m" in seconds, for the operations that have one."""
    return {
        name: sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION.findall(text))
        for name, text in (timeouts or {}).items()
        if text
    }


def _detached(kind: type[Resource]) -> Resource:
    """An instance for checks that need no cloud."""

    def nothing(*_args: Any, **_kwargs: Any) -> Any:
        raise ConnectionError("validation asks the cloud nothing")

    return kind(Cloud(nothing))
