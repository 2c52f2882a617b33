"""Server-sent events as bytes, both ways.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import UpstreamInterrupted

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: every client ignores it, and every proxy on the way sees that the stream is alive."""

MAX_EVENT_BYTES = 16_000_000
"""More than any real event holds; without a bound, one endless line would fill the memory."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its type (`message` when the stream names none) and its data, lines joined by a newline."""

    data: str
    event: str = "message"


def encode(data: str, event: str | None = None) -> bytes:
    """One event as bytes. `data` may hold newlines; `event` may not."""
    head = f"event: {event}\n" if event else ""
    # Any of the three line ends would end the field, so each starts a data line of its own.
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


class Decoder:
    """Reads events out of a stream of bytes that is cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._started = False
        self._data: list[str] = []
        self._size = 0
        self._event = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that `chunk` completes.

        Raises:
            UpstreamInterrupted: an event is larger than `MAX_EVENT_BYTES`.
        """
        self._buffer += chunk
        events: list[ServerSentEvent] = []
        start = 0
        buffer = self._buffer
        while (end := self._line_end(start)) >= 0:
            after = end + 1
            if buffer[end] == 0x0D:
                if after == len(buffer):
                    break  # the newline of a CRLF may come with the next chunk
                after += buffer[after] == 0x0A
            self._line(bytes(buffer[start:end]), events)
            start = after
        del buffer[:start]
        self._searched = max(0, len(buffer) - 1)
        if len(buffer) + self._size > MAX_EVENT_BYTES:
            raise UpstreamInterrupted
        return events

    def _line_end(self, start: int) -> int:
        begin = max(start, self._searched)
        newline = self._buffer.find(b"\n", begin)
        carriage = self._buffer.find(b"\r", begin, newline if newline >= 0 else len(self._buffer))
        return carriage if carriage >= 0 else newline

    def _line(self, line: bytes, events: list[ServerSentEvent]) -> None:
        text = line.decode("utf-8", "replace")
        if not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        if not text:
            if self._data:
                events.append(ServerSentEvent("\n".join(self._data), self._event or "message"))
            self._data, self._event, self._size = [], "", 0
            return
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._size += len(line)
        elif field == "event":
            self._event = value
