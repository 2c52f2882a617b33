"""Local stand-ins for Azure: the App Service identity endpoint and Azure OpenAI, over loopback sockets.

    with Emulators.start() as emulators:
        os.environ.update(emulators.environ())

They speak the real protocols, check the tokens, record what they are sent, and can be told to fail.
"""

from __future__ import annotations

from dev.emulator.emulators import Emulators
from dev.emulator.identity import IdentityEmulator
from dev.emulator.openai import OpenAIEmulator
from dev.emulator.service import Recorded

__all__ = ["Emulators", "IdentityEmulator", "OpenAIEmulator", "Recorded"]
