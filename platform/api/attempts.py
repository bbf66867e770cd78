"""Limits on guessing: how often an account and an address may try to sign in, to use a code, and to sign up.

An address is a whole /64 for IPv6, since that is what one subscriber gets.
"""

from ipaddress import IPv6Address, ip_address
from typing import Final

from starlette.requests import Request

from cloudserve.api.problems import too_many
from cloudserve.core.ratelimit import TokenBuckets

_KEYS: Final = 50_000
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


class Attempts:
    """The buckets of one platform. Whatever counts a try raises the 429 that says how long to wait.

    `account` is what is kept of it, such as its normalised mail address. Its case is folded as the store does when it
    looks for one (`Owners.by_email`): another spelling, such as `ß` for `ss`, is no other account.
    """

    def __init__(self) -> None:
        self._login_account = TokenBuckets(1 / 30, 10, _KEYS)
        self._login_address = TokenBuckets(10 / _MINUTE, 50, _KEYS)
        self._code_account = TokenBuckets(5 / _HOUR, 5, _KEYS)
        self._code_address = TokenBuckets(1 / _MINUTE, 20, _KEYS)
        self._signup_account = TokenBuckets(5 / _HOUR, 10, _KEYS)
        self._signup_address = TokenBuckets(1 / _MINUTE, 20, _KEYS)

    def knock(self, request: Request) -> None:
        """Counts a try to sign in whose account is not known yet."""
        _take(self._login_address, address_of(request))

    def login(self, request: Request, account: str) -> None:
        """Counts a try at a password or at a code."""
        self.knock(request)
        _take(self._login_account, account.casefold())

    def signed_in(self, account: str) -> None:
        """Forgets the tries of an account whose owner got in, so that somebody else's don't keep them out."""
        self._login_account.forget(account.casefold())

    def send_code(self, request: Request, account: str) -> None:
        """Counts a mail with a code."""
        _take(self._code_address, address_of(request))
        _take(self._code_account, account.casefold())

    def signup(self, request: Request) -> None:
        """Counts a try to make an account."""
        _take(self._signup_address, address_of(request))

    def signup_mail(self, account: str) -> None:
        """Counts a sign-up that ends in a mail, whoever the address belongs to."""
        _take(self._signup_account, account.casefold())


def address_of(request: Request) -> str:
    """Returns the network address that a caller is known by."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


def _take(buckets: TokenBuckets, key: str) -> None:
    wait = buckets.take(key)
    if wait:
        raise too_many(wait)
