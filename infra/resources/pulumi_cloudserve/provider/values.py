"""Between Pulumi's property values and plain Python."""

from collections.abc import Iterable, Mapping
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime import rpc

UNKNOWN = rpc.UNKNOWN
"""What stands for a value that a preview can't know yet."""


def plain(properties: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """Returns the values as dicts, lists, strings and numbers; a whole number is an int."""
    return {name: _plain(value) for name, value in properties.items()}


def wrapped(values: Mapping[str, Any], *, secrets: Iterable[str] = ()) -> dict[str, PropertyValue]:
    """Returns the values for Pulumi; those named in `secrets` are kept as ciphertext."""
    marked = set(secrets)
    return {name: _wrapped(value).with_secret(name in marked) for name, value in values.items()}


def _plain(value: PropertyValue) -> Any:
    inner = value.value
    if isinstance(inner, Mapping):
        return plain(inner)
    if isinstance(inner, float):
        return int(inner) if inner.is_integer() else inner
    if isinstance(inner, list | tuple):
        return [_plain(item) for item in inner]
    return inner


def _wrapped(value: Any) -> PropertyValue:
    if isinstance(value, Mapping):
        return PropertyValue({name: _wrapped(item) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return PropertyValue([_wrapped(item) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)
