"""The backends that a service works on, opened in their order and closed behind it."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from cloudserve.cli.services.stage import Stage
from cloudserve.core.config import DataFolder, Settings
from cloudserve.core.connections import Connections
from cloudserve.core.objects.abc import Objects
from cloudserve.core.opening import objects_of, store_of
from cloudserve.core.store.abc import Store


@dataclass(frozen=True, slots=True)
class Backends:
    """Store and objects, open."""

    store: Store
    objects: Objects


async def open_backends(opened: AsyncExitStack, connections: Connections, settings: Settings, stage: Stage) -> Backends:
    """Opens what the connections name, however long its servers take; `opened` closes it."""
    folder = DataFolder(settings.data_dir)
    store = store_of(connections, folder, keep=timedelta(days=settings.retention_days))
    objects = objects_of(connections, folder)
    opened.push_async_callback(store.close)
    await stage.wait_for("store", store.open)
    opened.push_async_callback(objects.close)
    await stage.wait_for("objects", objects.open)
    return Backends(store, objects)
