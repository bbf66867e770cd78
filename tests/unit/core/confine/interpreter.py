"""Runs a filter as the kernel does, by the manual of classic BPF, so that any call can be put to it."""

import struct

WORDS = 1 << 32


def verdict(program: bytes, call: int, *arguments: int, architecture: int = 0xC000003E) -> int:
    """Returns what a filter says to a call with these arguments."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", call, architecture, 0, *(argument % (1 << 64) for argument in padded))
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        code, if_true, if_false, value = instructions[position]
        position += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            position += value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            position += if_true if holds else if_false
