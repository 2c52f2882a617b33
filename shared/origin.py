"""Where does a URL lead?  Read in its one plain spelling, so that nobody after this can read it differently."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from shared.address import Address, is_loopback

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-\"$-\[\]-~]*)?",  # printable ASCII without # and \
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """A place on the network. `address` is the host where that is a literal IP address."""

    scheme: str
    host: str
    port: int
    address: Address | None

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of a URL.

        Raises:
            ValueError: it has another spelling: a user, odd characters, a number for an address, a final dot.
        """
        match = _URL.fullmatch(url)
        if not match:
            raise ValueError("is no plain http or https URL.")
        scheme, host = match["scheme"].lower(), match["host"].lower().strip("[]")
        port = int(match["port"] or (443 if scheme == "https" else 80))
        labels = host.split(".")
        address = None
        if ":" in host or _NUMBER.fullmatch(labels[-1]):
            try:
                address = ip_address(host)
            except ValueError:
                raise ValueError("has a host that is neither a name nor an IP address.") from None
        elif len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError("has a host that is no name.")
        if not 0 < port < 65536:
            raise ValueError("has a port that does not exist.")
        return cls(scheme, str(address or host), port, address)

    @property
    def loopback(self) -> bool:
        """Whether the host is a literal loopback address."""
        return self.address is not None and is_loopback(self.address)


def path_and_query(url: str) -> tuple[str, str]:
    """What follows the origin of a URL that has one: its path, and its query without the question mark."""
    match = _URL.fullmatch(url)
    path, _, query = ((match and match["path"]) or "/").partition("?")
    return path, query
