"""`multipart/form-data`, read in memory: nothing of it ever touches a disk.

Source: RFC 7578. The body has been read to its end, within the app's cap, so the parts are bounded too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_PARTS = 100


@dataclass(slots=True)
class FormPart:
    """One field or file. `name` is the form field's; a file's own name is of no interest here."""

    name: str = ""
    is_file: bool = False
    data: bytearray = field(default_factory=bytearray)

    def text(self) -> str:
        """The value of a field.

        Raises:
            InvalidRequest: it is no UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{self.name[:40]}: is not text in UTF-8.") from None


def read_form(body: bytes, content_type: str) -> list[FormPart]:
    """The parts of a form, in their order.

    Raises:
        InvalidRequest: the form is malformed, ends too soon, or has more than `MOST_PARTS` parts.
    """
    _, options = parse_options_header(content_type)
    reader = _Reader()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise InvalidRequest("The multipart form is malformed. Let the HTTP client make it, as curl -F does.") from None
    if not reader.ended:
        raise InvalidRequest("The multipart form ends too soon.")
    return reader.parts


class _Reader:
    def __init__(self) -> None:
        self.parts: list[FormPart] = []
        self.ended = False
        self._name = b""
        self._value = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise ValueError
        self.parts.append(FormPart())

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self.parts[-1].name = options.get(b"name", b"").decode("utf-8", "replace")
            self.parts[-1].is_file = b"filename" in options
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += memoryview(data)[start:end]

    def _end(self) -> None:
        self.ended = True
