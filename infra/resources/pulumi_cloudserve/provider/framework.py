"""What a resource type is made of, and how Pulumi's requests reach it.

A resource's state is its inputs and its outputs side by side. `Handler` is one resource type, in plain Python and
without asyncio; `LocalProvider` translates between it and Pulumi's protocol. What a user should read is raised as
`ResourceError`, and reaches them as that sentence alone.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pulumi.provider.experimental import provider as protocol
from pulumi.provider.experimental.provider import PropertyDiff, PropertyDiffKind

from pulumi_cloudserve.provider.values import UNKNOWN, plain, wrapped

Values = Mapping[str, Any]


class ResourceError(Exception):
    """Why something can't be done, as a sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation knows of its surroundings: the resource's name and stack, and how to show progress."""

    urn: str
    say: Callable[[str], None]

    @property
    def stack(self) -> str:
        """The stack's name."""
        return self.urn.split("::")[0].rpartition(":")[2]


class Handler(ABC):
    """One resource type.

    `outputs` are the properties it adds to its inputs, `secret` those of them that are kept as ciphertext, and
    `replace_on` the inputs that can't be changed in place.
    """

    type: ClassVar[str]
    inputs: ClassVar[frozenset[str]]
    outputs: ClassVar[frozenset[str]] = frozenset()
    secret: ClassVar[frozenset[str]] = frozenset()
    replace_on: ClassVar[frozenset[str]] = frozenset()

    def check(self, inputs: Values) -> Iterator[tuple[str, str]]:
        """Yields what is wrong with the inputs: the input's name and a sentence. Unknown inputs are left out."""
        yield from ()

    def needs_repair(self, state: Values) -> Iterable[str]:
        """Returns the outputs that tell that the thing is not as it should be, so that `update` is called."""
        return ()

    @abstractmethod
    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Makes the thing, or takes up what an interrupted `create` left; returns its id and outputs."""

    @abstractmethod
    def read(self, state: Values, context: Context) -> Values | None:
        """Looks at the thing and returns its outputs as they are now; None when it is gone."""

    @abstractmethod
    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Changes the thing in place to the new inputs and returns its outputs."""

    @abstractmethod
    def delete(self, state: Values, context: Context) -> None:
        """Removes the thing; one that is gone already is fine."""


class LocalProvider(protocol.Provider):
    """Serves the handlers it is given to Pulumi. `log` shows a line in the row of a resource."""

    def __init__(self, handlers: Iterable[Handler], *, log: Callable[[str, str], None]) -> None:
        self._handlers: Final = {handler.type: handler for handler in handlers}
        self._log = log

    async def check_config(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        """Takes no configuration: the project's settings arrive here too, and have no business in the state."""
        return protocol.CheckResponse(inputs={})

    async def diff_config(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        """Finds no difference."""
        return protocol.DiffResponse(changes=False)

    async def configure(self, request: protocol.ConfigureRequest) -> protocol.ConfigureResponse:
        """Says what this provider understands."""
        return protocol.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: protocol.CheckRequest) -> protocol.CheckResponse:
        """Refuses inputs that are unknown to the type, or wrong."""
        handler = self._handler(request.type)
        given = plain(request.new_inputs)
        failures = [(name, f"there is no input `{name}`") for name in given.keys() - handler.inputs]
        failures += [(name, "is missing") for name in handler.inputs - given.keys()]
        if not failures:
            failures = list(handler.check({name: value for name, value in given.items() if value != UNKNOWN}))
        return protocol.CheckResponse(
            inputs=request.new_inputs,
            failures=[protocol.CheckFailure(name, reason) for name, reason in failures],
        )

    async def diff(self, request: protocol.DiffRequest) -> protocol.DiffResponse:
        """Compares inputs, and asks the handler whether the thing needs repair."""
        handler = self._handler(request.type)
        state, new = plain(request.old_state), plain(request.new_inputs)
        changed = sorted(name for name in handler.inputs if state.get(name) != new.get(name))
        repairs = sorted(handler.needs_repair(state))
        replaces = [name for name in changed if name in handler.replace_on]
        details = {name: PropertyDiff(PropertyDiffKind.UPDATE, input_diff=False) for name in repairs}
        for name in changed:
            kind = PropertyDiffKind.UPDATE_REPLACE if name in replaces else PropertyDiffKind.UPDATE
            details[name] = PropertyDiff(kind, input_diff=True)
        return protocol.DiffResponse(
            changes=bool(details),
            replaces=replaces,
            delete_before_replace=True,  # ports and folders are there once
            diffs=[*changed, *repairs],
            detailed_diff=details,
        )

    async def create(self, request: protocol.CreateRequest) -> protocol.CreateResponse:
        """Makes the thing."""
        handler, inputs = self._handler(request.type), plain(request.properties)
        if request.preview:
            unknown = dict.fromkeys(handler.outputs, UNKNOWN)
            return protocol.CreateResponse(
                properties={**request.properties, **wrapped(unknown, secrets=handler.secret)}
            )
        made, outputs = await asyncio.to_thread(handler.create, inputs, self._context(request.urn))
        properties = {**request.properties, **wrapped(outputs, secrets=handler.secret)}
        return protocol.CreateResponse(resource_id=made, properties=properties)

    async def read(self, request: protocol.ReadRequest) -> protocol.ReadResponse:
        """Looks at the thing."""
        handler = self._handler(request.type)
        outputs = await asyncio.to_thread(handler.read, plain(request.properties), self._context(request.urn))
        if outputs is None:
            return protocol.ReadResponse()
        properties = {**request.properties, **wrapped(outputs, secrets=handler.secret)}
        return protocol.ReadResponse(resource_id=request.resource_id, properties=properties, inputs=request.inputs)

    async def update(self, request: protocol.UpdateRequest) -> protocol.UpdateResponse:
        """Changes the thing in place."""
        handler, old, new = self._handler(request.type), plain(request.olds), plain(request.news)
        if request.preview:
            kept = {name: value for name, value in request.olds.items() if name in handler.outputs}
            return protocol.UpdateResponse(properties={**request.news, **kept})
        outputs = await asyncio.to_thread(handler.update, old, new, self._context(request.urn))
        return protocol.UpdateResponse(properties={**request.news, **wrapped(outputs, secrets=handler.secret)})

    async def delete(self, request: protocol.DeleteRequest) -> None:
        """Removes the thing."""
        handler = self._handler(request.type)
        await asyncio.to_thread(handler.delete, plain(request.properties), self._context(request.urn))

    def _handler(self, chain: str) -> Handler:
        token = chain.rpartition("$")[2]  # the types of its parents come before
        try:
            return self._handlers[token]
        except KeyError:
            raise ResourceError(
                f"This version of the provider knows no {token}. Remedy: run `./cloudserve up`, which installs the "
                "version that belongs to the program."
            ) from None

    def _context(self, urn: str) -> Context:
        return Context(urn, say=lambda text: self._log(urn, text))
