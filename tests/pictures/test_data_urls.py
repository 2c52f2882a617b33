"""Pictures as `data:` URLs."""

from __future__ import annotations

import base64

import pytest

from shared.errors import ImageTooLarge, InvalidImage
from shared.pictures import PictureLimits, decode_data_url, take_one
from tests.photos import SMALL, saved


def test_a_picture_as_a_data_url_is_the_same_picture() -> None:
    picture = take_one(saved(SMALL, "PNG"))
    assert picture.url.startswith("data:image/png;base64,")
    assert decode_data_url(picture.url) == picture.data


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.com/a.png",
        "http://169.254.169.254/metadata/identity",
        "file:///etc/passwd",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/png,plain",
        "data:image/png;charset=utf-8;base64,AAAA",
        "data:image/;base64,AAAA",
        " data:image/png;base64,AAAA",
        "data:image/png;base64,AAA",
        "data:image/png;base64,AA=A",
        "data:image/png;base64,AAAA\n",
        "data:image/png;base64,AA AA",
        "data:image/png;base64,AA-_",
        "data:image/png;base64,AAAA====",
        "data:image/png;base64,\u00e4AAA",
    ],
)
def test_a_url_that_is_not_a_strict_base64_picture_is_refused(url: str) -> None:
    with pytest.raises(InvalidImage, match=r"^Image 3 ") as raised:
        decode_data_url(url, index=2)
    assert "binascii" not in raised.value.message


def test_a_data_url_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    limits = PictureLimits(max_bytes=1_000)
    assert (
        decode_data_url("data:image/png;base64," + base64.b64encode(b"x" * 1_000).decode(), 0, limits) == b"x" * 1_000
    )
    with pytest.raises(ImageTooLarge):
        decode_data_url("data:image/png;base64," + "!" * 2_000, 0, limits)
