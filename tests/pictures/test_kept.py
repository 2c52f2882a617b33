"""Pictures that stay as they are, and what is taken out of a file without touching the picture."""

from __future__ import annotations

import zlib

import pytest

from shared.pictures import Picture, take_one
from tests.photos import (
    CANARY,
    SMALL,
    SRGB,
    bare_exif,
    chunk,
    difference,
    exif,
    of,
    opened,
    photo,
    png,
    riff,
    saved,
    segment,
)

KEPT = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}


@pytest.mark.parametrize("kind", KEPT)
def test_a_small_clean_picture_is_kept_byte_for_byte(kind: str) -> None:
    data = saved(SMALL, kind)
    assert take_one(data) == Picture(data, KEPT[kind], 320, 200, ())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (300, 5)])
def test_a_png_of_any_colour_type_is_kept(mode: str, size: tuple[int, int]) -> None:
    data = saved(photo(*size).convert("L").convert("I;16") if mode == "I;16" else photo(*size, mode), "PNG")
    assert take_one(data).data == data


def test_an_interlaced_png_is_kept() -> None:
    plain = png(size=(8, 8), pixels=zlib.compress(b"\0" * (4 + 4 + 7 + 2 * 7 + 2 * 13 + 4 * 13 + 4 * 25)))
    header = plain[8:33]
    data = plain.replace(header, chunk(b"IHDR", header[8:20] + b"\1"))
    assert take_one(data).data == data


def test_a_webp_with_flags_for_metadata_that_is_not_there_is_kept() -> None:
    plain = saved(SMALL, "WEBP")
    size = b"".join((side - 1).to_bytes(3, "little") for side in SMALL.size)
    data = riff((b"VP8X", b"\x0c\0\0\0" + size), (b"VP8 ", plain[20:]))
    assert take_one(data).data == data


def with_metadata(kind: str) -> bytes:
    """A picture with a place, a comment and more in every corner where its format has room."""
    if kind == "JPEG":
        data = saved(SMALL, "JPEG", exif=exif(), icc_profile=SRGB, comment=CANARY, xmp=CANARY, quality=95)
        more = segment(0xE0, b"JFXX\0\x10" + CANARY) + segment(0xED, b"Photoshop 3.0\0" + CANARY)
        return data[:2] + more + segment(0xE2, b"FPXR\0" + CANARY) + segment(0xEF, CANARY) + data[2:] + CANARY
    if kind == "PNG":
        data = saved(SMALL, "PNG", exif=exif(), icc_profile=SRGB, dpi=(72, 72))
        more = chunk(b"tEXt", b"a\0" + CANARY) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + CANARY)
        more += chunk(b"tIME", CANARY[:7]) + chunk(b"caBX", CANARY) + chunk(b"zTXt", b"a\0\0x\x9c\3\0\0\0\0\1")
        return data[:33] + more + data[33:] + b"<svg>" + CANARY
    if kind == "WEBP":
        data = saved(SMALL, "WEBP", exif=exif(), icc_profile=SRGB, xmp=CANARY)
        return data[:4] + (len(data) + 40 - 8).to_bytes(4, "little") + data[8:] + b"ABCD\x20\0\0\0" + b" " * 32 + CANARY
    data = saved(SMALL, "GIF", comment=CANARY)
    at = data.index(b"!\xfe")
    xmp = b"!\xff\x0bXMP DataXMP" + bytes([len(CANARY)]) + CANARY + b"\0"
    profile = b"!\xff\x0bICCRGBG1012\x04\0\0\0\4\0"
    return data[:at] + xmp + profile + data[at:] + CANARY


@pytest.mark.parametrize("kind", KEPT)
def test_metadata_is_removed_and_neither_pixels_nor_colours_change(kind: str) -> None:
    data = with_metadata(kind)
    picture = take_one(data)
    before, after = opened(data), of(picture)
    assert CANARY in data
    assert CANARY not in picture.data
    assert b"tIME" not in picture.data
    assert picture.changed == ("metadata_removed",)
    assert not after.getexif()
    assert not after.getexif().get_ifd(0x8825)
    assert not {"exif", "xmp", "comment", "photoshop", "XML:com.adobe.xmp"} & after.info.keys()
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert (after.mode, after.tobytes()) == (before.mode, before.tobytes())
    assert b"ICC" not in data or b"ICC" in picture.data or b"iCCP" in picture.data
    assert take_one(picture.data) == Picture(picture.data, picture.media_type, 320, 200)


def test_bytes_after_the_picture_are_dropped() -> None:
    for kind in KEPT:
        data = saved(SMALL, kind)
        assert take_one(data + b"<svg onload=alert(1)>").data == data, kind


def test_of_a_phones_picture_in_several_parts_the_first_is_a_plain_jpeg() -> None:
    data = saved(SMALL, "MPO", save_all=True, append_images=[photo(160, 100)], quality=95)
    picture = take_one(data)
    assert opened(data).format == "MPO"
    assert of(picture).format == "JPEG"
    assert difference(of(picture), SMALL) < 6


@pytest.mark.parametrize("block", [b"", b"II", b"MM\0*\xff\xff\xff\xff", bare_exif(9), bare_exif(0), b"x" * 40])
def test_an_orientation_that_cannot_be_read_is_upright(block: bytes) -> None:
    data = saved(SMALL, "JPEG")
    picture = take_one(data[:2] + segment(0xE1, b"Exif\0\0" + block) + data[2:])
    assert picture == Picture(data, "image/jpeg", 320, 200, ("metadata_removed",))


def test_a_pictures_bytes_do_not_show_in_its_repr() -> None:
    assert "data" not in repr(take_one(saved(SMALL, "PNG")))
