"""What an S3 server's address, region and buckets may be called; no message has the value, which may hold a key."""

import re
from typing import Final

_ENDPOINT: Final = re.compile(r"(https?)://((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?)/?")
_REGION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET: Final = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*(?:\.\.|\.-|-\.))[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def endpoint_parts(endpoint: str) -> tuple[bool, str]:
    """Returns whether a server speaks TLS, and its host and port. Raises ValueError."""
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None:
        raise ValueError("it is no URL of a server: write http://host[:port] or https://host[:port], and no path")
    scheme, host = match.groups()
    return scheme == "https", host


def check_region(region: str) -> None:
    """Raises ValueError for what is no region's name."""
    if not _REGION.fullmatch(region):
        raise ValueError("it is no region: use letters, digits and '-'; a server that has none takes us-east-1")


def check_bucket(bucket: str) -> None:
    """Raises ValueError for what is no bucket's name."""
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("it is no bucket's name: use 3 to 63 lower-case letters, digits, '.' and '-'")
