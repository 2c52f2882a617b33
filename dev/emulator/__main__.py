"""`python -m dev.emulator`: serve the emulators in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from functools import partial

from dev.emulator.emulators import Emulators


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.emulator", description=__doc__)
    parser.add_argument("--identity-port", type=int, default=7072, help="default: %(default)s; 0 takes a free one")
    parser.add_argument("--openai-port", type=int, default=7073, help="default: %(default)s; 0 takes a free one")
    parser.add_argument("--identity-header", default="emulated", help="the secret that IDENTITY_HEADER holds")
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between two words of a stream")
    options = parser.parse_args(arguments)
    emulators = Emulators()
    emulators.identity.header = options.identity_header
    emulators.openai.pace = options.pace
    emulators.identity.keep = emulators.openai.keep = 500
    try:
        ready = partial(_announce, emulators)
        asyncio.run(emulators.serve(options.identity_port, options.openai_port, ready=ready))
    except OSError as error:
        sys.stderr.write(f"The emulators cannot listen: {error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stdout.write("Stopped.\n")
    return 0


def _announce(emulators: Emulators) -> None:
    lines = [
        f"identity endpoint  {emulators.identity.endpoint}",
        f"Azure OpenAI       {emulators.openai.url}/openai/v1/",
        *(f"  {name}={value}" for name, value in emulators.environ().items()),
        "Ctrl-C stops them.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
