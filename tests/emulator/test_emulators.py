"""Starting and stopping."""

from __future__ import annotations

import pytest

from dev.emulator import Emulators


def test_the_environment_points_at_both_and_names_an_identity_if_asked() -> None:
    with Emulators.start() as emulators:
        environ = emulators.environ()
        assert environ == {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "AZURE_OPENAI_DEPLOYMENT": "gpt-4.1-mini",
            "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{emulators.openai.port}",
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{emulators.identity.port}/msi/token",
            "IDENTITY_HEADER": emulators.identity.header,
            "KEY_VAULT_URL": f"https://127.0.0.1:{emulators.vault.port}",
            "KEY_VAULT_CA_FILE": emulators.ca_file,
            "WEATHER_URL": f"http://127.0.0.1:{emulators.weather.port}",
            "WEATHER_GEOCODING_URL": f"http://127.0.0.1:{emulators.weather.port}",
        }
        assert emulators.environ(client_id="abc") == {**environ, "AZURE_CLIENT_ID": "abc"}
        assert environ["AZURE_OPENAI_DEPLOYMENT"] in emulators.openai.deployments


def test_a_taken_port_is_an_os_error_and_leaves_nothing_behind() -> None:
    with Emulators.start() as first:
        with pytest.raises(OSError, match="in use"):
            Emulators.start(openai_port=first.openai.port)
        with pytest.raises(OSError, match="in use"):
            Emulators.start(identity_port=first.identity.port)


def test_the_ports_are_free_again_after_a_stop() -> None:
    with Emulators.start() as first:
        ports = first.identity.port, first.openai.port
    with Emulators.start(*ports) as second:
        assert (second.identity.port, second.openai.port) == ports
