"""The codec of server-sent events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import sse
from shared.errors import UpstreamInterrupted
from shared.sse import Decoder, ServerSentEvent, encode

# A carriage return in the data cannot survive: the format ends lines with it.
DATA = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))
TYPES = st.none() | st.from_regex(r"[a-z][a-z._]{0,20}", fullmatch=True)


@given(st.lists(st.tuples(DATA, TYPES)), st.lists(st.integers(1, 30)), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_what_was_encoded_is_decoded_wherever_the_bytes_are_cut(
    events: list[tuple[str, str | None]], cuts: list[int], line_end: bytes
) -> None:
    whole = b"".join(encode(data, event) for data, event in events).replace(b"\n", line_end)
    # A lone carriage return at the very end waits for what follows it.
    whole += b": end\n"
    decoder = Decoder()
    decoded: list[ServerSentEvent] = []
    for size in [*cuts, len(whole)]:
        chunk, whole = whole[:size], whole[size:]
        decoded += decoder.feed(chunk)
    assert decoded == [ServerSentEvent(data, event or "message") for data, event in events]


@given(st.lists(st.binary(max_size=50)))
def test_no_bytes_break_the_decoder(chunks: list[bytes]) -> None:
    decoder, together = Decoder(), Decoder()
    one_by_one = [event for chunk in chunks for event in decoder.feed(chunk)]
    assert one_by_one == together.feed(b"".join(chunks))


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent("a")]),
        (b": comment\ndata: a\n\n", [ServerSentEvent("a")]),
        (b"data:a\ndata:  b\n\n", [ServerSentEvent("a\n b")]),
        (b"event: x\n\ndata: a\n\n", [ServerSentEvent("a")]),
        (b"event: x\ndata\n\n", [ServerSentEvent("", "x")]),
        (b"id: 1\nretry: 5\nunknown: z\ndata: a\n\n", [ServerSentEvent("a")]),
        (b"data: a", []),
    ],
)
def test_the_decoder_reads_as_the_standard_says(text: bytes, events: list[ServerSentEvent]) -> None:
    assert Decoder().feed(text) == events


def test_an_event_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    one_line, many_lines = Decoder(), Decoder()
    for _ in range(15):
        one_line.feed(b"data: " + b"x" * 50)
        many_lines.feed(b"data: " + b"x" * 50 + b"\n")
    with pytest.raises(UpstreamInterrupted):
        one_line.feed(b"x" * 300)
    with pytest.raises(UpstreamInterrupted):
        many_lines.feed(b"data: " + b"x" * 300)
