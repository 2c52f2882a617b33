"""The `az` commands that mend what is broken.

One is complete where the app knows the names; a word in capitals (APP, GROUP, NAME) is the reader's to fill in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.reach import Place

SUBDOMAIN = re.compile(r"([a-z0-9-]+)\.(openai|cognitiveservices|services\.ai)\.azure\.[a-z]+")
"""An account's own name, in the addresses that Azure gives it."""

SITE_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")


@dataclass(frozen=True, slots=True)
class Mend:
    """One command, and what it is for."""

    command: str
    why: str


LIST_ACCOUNTS = Mend(
    'az cognitiveservices account list --query "[].{name:name, endpoint:properties.endpoint}" --output table',
    "lists your resources with their addresses",
)


class Az:
    """Parts of commands about this app; `app` names it and its resource group."""

    def __init__(self, site_name: str) -> None:
        self.app = "--name APP --resource-group GROUP"
        if SITE_NAME.fullmatch(site_name):
            query = f"[?name=='{site_name}'].resourceGroup"
            self.app = f'--name {site_name} --resource-group "$(az functionapp list --query "{query}" --output tsv)"'

    def set(self, values: str) -> str:
        """Sets app settings: `NAME=VALUE NAME=VALUE`."""
        return f"az functionapp config appsettings set {self.app} --settings {values}"

    def delete(self, names: str) -> str:
        """Deletes app settings: `NAME NAME`."""
        return f"az functionapp config appsettings delete {self.app} --setting-names {names}"

    def account(self, place: Place) -> str:
        """Names the Azure OpenAI account at a place, and its resource group."""
        name = _account_name(place)
        if not name:
            return "--name NAME --resource-group GROUP"
        return f'--name {name} --resource-group "{_look_up(name, "resourceGroup")}"'

    def scope(self, place: Place) -> str:
        """The resource id of the account at a place."""
        name = _account_name(place)
        if not name:
            return '"$(az cognitiveservices account show --name NAME --resource-group GROUP --query id --output tsv)"'
        return f'"{_look_up(name, "id")}"'

    def network_rules(self, place: Place) -> Mend:
        """Shows what the account at a place lets in."""
        return Mend(
            f"az cognitiveservices account show {self.account(place)}"
            ' --query "{public:properties.publicNetworkAccess, rules:properties.networkAcls}"',
            "shows whom the resource's network rules let in",
        )


def as_told(mends: Sequence[Mend]) -> list[dict[str, str]]:
    """Commands, for JSON."""
    return [{"command": one.command, "why": one.why} for one in mends]


def _account_name(place: Place) -> str:
    found = SUBDOMAIN.fullmatch(place.host)
    return "" if found is None else found[1]


def _look_up(name: str, what: str) -> str:
    query = f"[?properties.customSubDomainName=='{name}'].{what}"
    return f'$(az cognitiveservices account list --query "{query}" --output tsv)'
