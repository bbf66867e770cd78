"""`pulumi-resource-cloudserve`: the program that Pulumi starts and asks for its resources.

It ends with the Pulumi that started it, however that one ends, and it says what went wrong in one sentence.
"""

import argparse
import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

import grpc
import grpc.aio
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

from pulumi_cloudserve.provider.administrator import AdministratorHandler
from pulumi_cloudserve.provider.credentials import CredentialsHandler
from pulumi_cloudserve.provider.data_folder import DataFolderHandler
from pulumi_cloudserve.provider.framework import LocalProvider, ResourceError
from pulumi_cloudserve.provider.object_store import ObjectStoreHandler
from pulumi_cloudserve.provider.platform_process import PlatformProcessHandler
from pulumi_cloudserve.provider.store import StoreHandler

HANDLERS: Final = (
    DataFolderHandler(),
    CredentialsHandler(),
    StoreHandler(),
    ObjectStoreHandler(),
    PlatformProcessHandler(),
    AdministratorHandler(),
)

_MESSAGE_BYTES: Final = 400 * 1024 * 1024  # what Pulumi itself allows
_PARENT_SECONDS: Final = 1.0


class PlainErrors(grpc.aio.ServerInterceptor):
    """Ends a failed call with its message: what Pulumi's server raises carries a traceback in its text."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Wraps the method that is called."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def call(request: Any, context: Any) -> Any:
            try:
                return await handler.unary_unary(request, context)
            except NotImplementedError as error:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
            except Exception as error:  # noqa: BLE001 - whatever it was, the user needs one sentence
                cause = error.__context__ or error  # Pulumi's server raises another one in its place
                if not isinstance(cause, ResourceError):
                    traceback.print_exception(cause, file=sys.stderr)
                told = str(cause) if isinstance(cause, ResourceError) else f"{type(cause).__name__}: {cause}"
                await context.abort(grpc.StatusCode.UNKNOWN, told)

        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def engine_log(address: str) -> Callable[[str, str], None]:
    """Returns what shows a line in a resource's row while it is worked on."""
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=options))

    def log(urn: str, text: str) -> None:
        severity = engine_pb2.LogSeverity.INFO
        request = engine_pb2.LogRequest(severity=severity, message=text, urn=urn, ephemeral=True)
        try:
            stub.Log(request, timeout=5)
        except grpc.RpcError as error:
            print(f"the progress could not be shown: {error}", file=sys.stderr)

    return log


async def serve(engine: str) -> None:
    """Serves until it is ended."""
    server = grpc.aio.server(
        interceptors=[PlainErrors()], options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    )
    provider = LocalProvider(HANDLERS, log=engine_log(engine))
    servicer = ProviderServicer([], version("pulumi-cloudserve"), provider, engine_address=engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def end_with(parent: int) -> None:
    """Ends this process once `parent` is no longer its parent: Pulumi, killed, can't end its plugins."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Reads the command line that Pulumi writes, and serves."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-cloudserve", description=__doc__)
    parser.add_argument("engine", help="where Pulumi listens")
    given, _ = parser.parse_known_args()
    end_with(os.getppid())
    asyncio.run(serve(given.engine))
