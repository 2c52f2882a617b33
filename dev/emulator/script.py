"""The script of an emulator: steps, queued by a test or over the control route, one a request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

StepT = TypeVar("StepT", bound="Faults")


class BadStep(ValueError):
    """A step with a key or a value that the emulator does not know."""


@dataclass(frozen=True)
class Faults:
    """What any emulated service can be told to do to one request.

    status, headers, error, body: answer this instead; `error` is the JSON under "error", `body` the text as it is.
    delay: wait this many seconds first. hang: never answer (after `after` chunks).
    gate: wait, after `after` chunks (0: before the headers), until the gate of this name is opened.
    reset: end with a TCP reset, "before" the headers (as True does) or "mid" answer.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    body: str | None = None
    delay: float = 0
    hang: bool = False
    gate: str | None = None
    after: int = 0
    reset: str | bool = False

    def __post_init__(self) -> None:
        if self.reset not in (False, True, "before", "mid"):
            raise BadStep(f'reset is "before" or "mid", not {self.reset!r}')
        if self.after < 0:
            raise BadStep("after is a number of chunks, 0 or more")


@dataclass(frozen=True)
class IdentityStep(Faults):
    """What the identity endpoint is told to do to one request.

    life: the token's life in seconds. audience, forged: a token for another audience, or signed by another key.
    token: this text as the token. broken: a 200 whose body is of no use ("no-expires-on", "no-token", "not-json",
    "empty"). Here `error` is the whole body, as the endpoint's errors have no "error" around them.
    """

    life: float | None = None
    audience: str | None = None
    forged: bool = False
    token: str | None = None
    broken: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.broken not in (None, "no-expires-on", "not-json", "no-token", "empty"):
            raise BadStep(f"broken is no-expires-on, not-json, no-token or empty, not {self.broken!r}")


FINISHES = ("stop", "length", "content_filter", "failed", "error")
QUIRKS = ("prompt-filter-chunk", "missing-delta", "no-finish")


@dataclass(frozen=True)
class OpenAIStep(Faults):
    """What Azure OpenAI is told to do to one request.

    text, chunks, reasoning, tool_calls, usage, finish: the answer (`chunks` are the pieces in which the text is sent;
    `usage` None sends none; finish "failed" is a response.failed, "error" an error event in the stream).
    truncate: this many chunks, then a clean end without a terminal event. raw: these frames and nothing else.
    redirect: a 307 to there. content_filter: "prompt" refuses, "output" cuts the answer.
    quirks: "prompt-filter-chunk", "missing-delta" and "no-finish", mixed into a good answer.
    """

    text: str | None = None
    chunks: tuple[str, ...] | None = None
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, Any] | None = field(default_factory=dict)
    finish: str | None = None
    truncate: int | None = None
    raw: tuple[str, ...] | None = None
    redirect: str | None = None
    content_filter: str | None = None
    quirks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finish not in (None, *FINISHES):
            raise BadStep(f"finish is one of {', '.join(FINISHES)}, not {self.finish!r}")
        if self.content_filter not in (None, "prompt", "output"):
            raise BadStep(f"content_filter is prompt or output, not {self.content_filter!r}")
        if unknown := set(self.quirks) - set(QUIRKS):
            raise BadStep(f"quirks are {', '.join(QUIRKS)}, not {', '.join(sorted(unknown))}")
        if any("name" not in call for call in self.tool_calls):
            raise BadStep("each of tool_calls has a name")

    @property
    def interrupts(self) -> bool:
        """Whether something is to happen between the pieces of the answer."""
        return self.after > 0 or self.truncate is not None or self.reset == "mid"

    @property
    def answers(self) -> bool:
        """Whether the step says what the answer is; if not, the default answer is given (with the step's faults)."""
        return self.text is not None or self.chunks is not None or bool(self.tool_calls)


class Script(Generic[StepT]):
    """Steps to come, and a step for all requests after them, if any. Safe to use from any thread."""

    def __init__(self, kind: type[StepT]) -> None:
        self._kind = kind
        self._types = get_type_hints(kind)
        self._lock = threading.Lock()
        self._queue: deque[StepT] = deque()
        self._forever: StepT | None = None

    def add(self, *steps: Mapping[str, Any]) -> None:
        """Queue these steps. Raises BadStep, and queues none, if one is not understood."""
        read = [self._read(step) for step in steps]
        with self._lock:
            self._queue.extend(read)

    def forever(self, step: Mapping[str, Any]) -> None:
        """Repeat this step for every request that finds the queue empty, until `clear`."""
        read = self._read(step)
        with self._lock:
            self._forever = read

    def clear(self) -> None:
        """Forget every step."""
        with self._lock:
            self._queue.clear()
            self._forever = None

    def next(self) -> StepT:
        """Take the step for this request: the plain one, without faults, when nothing was scripted."""
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            return self._forever or self._kind()

    def __len__(self) -> int:
        with self._lock:
            return len(self._queue)

    def _read(self, step: Mapping[str, Any]) -> StepT:
        if unknown := set(step) - set(self._types):
            raise BadStep(f"unknown in a step: {', '.join(sorted(unknown))}; known: {', '.join(sorted(self._types))}")
        frozen: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in step.items()
        }
        for name, value in frozen.items():
            if not _fits(value, self._types[name]):
                raise BadStep(f"{name} is {self._types[name]}, not {value!r}")
        return self._kind(**frozen)


def _fits(value: object, annotation: Any) -> bool:
    if isinstance(annotation, UnionType):
        return any(_fits(value, each) for each in annotation.__args__)
    kind = get_origin(annotation) or annotation
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(annotation)[0]) for each in value)
    return kind is Any or isinstance(value, kind)
