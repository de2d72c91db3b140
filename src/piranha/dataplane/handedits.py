"""Edits by hand of services that lvs.cf names: which value ipvsadm gave a service, and its destinations. Pure.

Kept as the operations that would make them again. `ownership.py` remembers the services that were made by hand as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Clear,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
)
from piranha.model.service import Destination, DestinationKey, Service, ServiceKey


def service_of(operation: Operation) -> ServiceKey | None:
    """The service whose values an operation changes; None where it changes those of none, or of all."""
    match operation:
        case AddService(service=service) | EditService(service=service):
            return service.key
        case DeleteService(key=key):
            return key
        case AddDestination(service=key) | EditDestination(service=key) | DeleteDestination(service=key):
            return key
    return None


class HandEdits:
    """The latest value by hand of every service and destination that has one."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._services: dict[ServiceKey, Service] = {}
        self._destinations: dict[ServiceKey, dict[DestinationKey, Destination]] = {}
        for operation in operations:
            self.take(operation)

    def __bool__(self) -> bool:
        return bool(self._services or self._destinations)

    def service(self, key: ServiceKey) -> Service | None:
        return self._services.get(key)

    def destinations(self, service: ServiceKey) -> Mapping[DestinationKey, Destination]:
        return self._destinations.get(service, {})

    def take(self, operation: Operation) -> None:
        """An edit that was made. What is deleted has no value by hand any more: lvs.cf's holds again."""
        match operation:
            case AddService(service=service) | EditService(service=service):
                self._services[service.key] = service
            case AddDestination(service=key, destination=d) | EditDestination(service=key, destination=d):
                self._destinations.setdefault(key, {})[d.key] = d
            case DeleteDestination(service=key, key=gone):
                of_service = self._destinations.get(key, {})
                of_service.pop(gone, None)
                if not of_service:
                    self._destinations.pop(key, None)
            case DeleteService(key=key):
                self._services.pop(key, None)
                self._destinations.pop(key, None)
            case Clear():
                self._services.clear()
                self._destinations.clear()

    def keep_only(self, services: Collection[ServiceKey]) -> None:
        for key in {*self._services, *self._destinations}:
            if key not in services:
                self.take(DeleteService(key=key))

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What would make them again, from lvs.cf's table."""
        return (
            *(EditService(service=service) for service in self._services.values()),
            *(
                AddDestination(service=key, destination=destination)
                for key, found in self._destinations.items()
                for destination in found.values()
            ),
        )
