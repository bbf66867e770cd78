"""Reading another process's memory: what is not there is an error like any other, wherever it is said to be."""

import ctypes
import errno
import os
from collections.abc import Callable

import pytest

from cloudserve.core.confine.egress import threads

NOWHERE = (1, (1 << 47) - 1, 1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)

_ERRORS = (errno.EFAULT, errno.EIO, errno.EINVAL)


@pytest.mark.parametrize("read", [threads.read_memory, threads._read_memory_file])
@pytest.mark.parametrize("address", NOWHERE)
def test_an_impossible_address_is_an_error_of_its_owner(read: Callable[[int, int, int], bytes], address: int) -> None:
    """Whichever way memory is read, and however large the number: never one that ends the reader."""
    with pytest.raises(OSError, check=lambda error: error.errno in _ERRORS):
        read(os.getpid(), address, 16)


@pytest.mark.parametrize("read", [threads.read_memory, threads._read_memory_file])
def test_what_is_there_is_read(read: Callable[[int, int, int], bytes]) -> None:
    """Byte for byte."""
    buffer = ctypes.create_string_buffer(b"an address", 16)
    assert read(os.getpid(), ctypes.addressof(buffer), 10) == b"an address"
