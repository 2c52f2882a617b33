"""Pictures that are converted, turned or made smaller, compared with what they show."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops

from shared.pictures import PictureLimits, take_one
from tests.photos import (
    CANARY,
    SMALL,
    SRGB,
    UNTURN,
    bare_exif,
    chunk,
    difference,
    exif,
    of,
    photo,
    saved,
    tiff,
    tiff_with_tags,
)


@pytest.mark.parametrize(
    ("kind", "mode", "media_type"),
    [
        ("HEIF", "RGB", "image/jpeg"),
        ("HEIF", "L", "image/jpeg"),
        ("HEIF", "RGBA", "image/png"),
        ("BMP", "RGB", "image/jpeg"),
        ("BMP", "P", "image/jpeg"),
        ("BMP", "1", "image/jpeg"),
        ("TIFF", "RGB", "image/jpeg"),
        ("TIFF", "RGBA", "image/png"),
        ("TIFF", "LA", "image/png"),
        ("TIFF", "P", "image/jpeg"),
        ("TIFF", "CMYK", "image/jpeg"),
        ("TIFF", "YCbCr", "image/jpeg"),
    ],
)
def test_what_models_do_not_read_is_converted(kind: str, mode: str, media_type: str) -> None:
    original = photo(320, 200, mode)
    picture = take_one(saved(original, kind))
    assert (picture.media_type, picture.changed) == (media_type, ("converted",))
    assert difference(of(picture), original) < 6
    if media_type == "image/png":
        assert difference(of(picture).getchannel("A"), original.getchannel("A")) < 3


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_compressed_tiff_is_converted(compression: str) -> None:
    assert difference(of(take_one(saved(SMALL, "TIFF", compression=compression))), SMALL) < 6


def test_an_opaque_alpha_channel_does_not_make_a_png() -> None:
    original = SMALL.copy()
    original.putalpha(255)
    assert take_one(saved(original, "TIFF")).media_type == "image/jpeg"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_become_eight_without_clipping(kind: str) -> None:
    ramp = Image.linear_gradient("L").resize((2560, 256)).convert("I;16").point(lambda value: value * 257 + 0.0)
    picture = of(take_one(saved(ramp, kind)))
    assert difference(picture, Image.linear_gradient("L").resize(picture.size)) < 3


def test_numbers_without_a_range_are_spread_over_grey() -> None:
    depth = Image.linear_gradient("L").convert("F").point(lambda value: value * 0.01 + 5.0)
    assert difference(of(take_one(saved(depth, "TIFF"))), Image.linear_gradient("L")) < 3


@pytest.mark.parametrize("profile", [None, SRGB, b"not a profile" * 20])
def test_a_cmyk_jpeg_becomes_rgb(profile: bytes | None) -> None:
    picture = take_one(saved(photo(320, 200, "CMYK"), "JPEG", icc_profile=profile))
    assert (of(picture).mode, picture.changed) == ("RGB", ("converted",))
    assert difference(of(picture), SMALL) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "large JPEG"])
def test_a_picture_on_its_side_is_turned_upright(kind: str, orientation: int) -> None:
    upright = photo(2600, 300) if kind == "large JPEG" else SMALL
    turn = UNTURN[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    if kind == "TIFF":
        data = tiff_with_tags(stored, orientation)
    else:
        data = saved(stored, kind.removeprefix("large "), exif=exif(orientation))
    picture = take_one(data)
    result = of(picture)
    assert difference(result, upright.resize(result.size)) < 6
    assert abs(result.width / result.height - upright.width / upright.height) < 0.1
    if kind != "HEIF":  # its decoder turns it, whatever EXIF says
        assert ("rotated" in picture.changed) == (orientation != 1)
    if kind == "PNG":
        assert ImageChops.difference(result, upright).getbbox() is None


def test_an_orientation_without_more_is_applied_in_either_byte_order() -> None:
    data = saved(SMALL, "PNG")
    for block in (bare_exif(6), b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"):
        picture = take_one(data[:33] + chunk(b"eXIf", block) + data[33:])
        assert (picture.width, picture.height, picture.changed[0]) == (200, 320, "rotated")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_metadata_is_removed_where_the_picture_is_encoded_anew_and_its_profile_stays(kind: str) -> None:
    options = {} if kind == "HEIF" else {"comment": CANARY, "xmp": CANARY}
    data = saved(photo(2400, 300), kind, exif=exif(6), icc_profile=SRGB, **options)
    picture = take_one(data)
    after = of(picture)
    assert CANARY in data
    assert CANARY not in picture.data
    assert "metadata_removed" in picture.changed
    assert not after.getexif()
    assert after.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "icc_profile"}
    assert after.info["icc_profile"] == SRGB


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "P"), ("PNG", "1"), ("PNG", "RGBA"), ("GIF", "P")])
def test_a_picture_that_is_too_large_is_made_smaller(kind: str, mode: str) -> None:
    original = photo(2500, 1500, mode)
    picture = take_one(saved(original, kind))
    transparent = mode == "RGBA"
    assert (picture.width, picture.height) == (2048, 1229)
    assert picture.media_type == ("image/png" if transparent else "image/jpeg")
    assert picture.changed == (("resized",) if transparent else ("converted", "resized"))
    smaller = original.convert("RGBA" if transparent else "RGB").resize((2048, 1229))
    assert difference(of(picture), smaller) < 6


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((2049, 1000), (2048, 1000)),
        ((2500, 1), (2048, 1)),
        ((1, 6000), (1, 2048)),
        ((4032, 3024), (2016, 1512)),  # half is within five per cent, and much cheaper to decode
        ((3000, 3000), (2048, 2048)),
        ((9000, 1200), (2048, 273)),
    ],
)
def test_a_large_jpeg_keeps_its_aspect_ratio(size: tuple[int, int], expected: tuple[int, int]) -> None:
    original = photo(*size)
    picture = take_one(saved(original, "JPEG"))
    assert (picture.width, picture.height) == expected
    assert picture.changed == ("resized",)
    assert difference(of(picture), original.resize(expected)) < 6


@pytest.mark.parametrize("kind", ["TIFF", "HEIF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_very_large_picture_is_read_in_strips_without_a_seam(kind: str, mode: str) -> None:
    original = photo(1300, 1100, mode)
    picture = take_one(saved(original, kind), limits=PictureLimits(long_side=256))
    assert difference(of(picture), original.resize((256, 217))) < 6


def test_the_long_side_is_a_setting() -> None:
    picture = take_one(saved(SMALL, "PNG"), limits=PictureLimits(long_side=100))
    assert (picture.width, picture.height) == (100, 62)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [photo(64, 48), photo(64, 48).transpose(Image.Transpose.ROTATE_180), Image.new("RGB", (64, 48))]
    picture = take_one(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    result = of(picture)
    assert "first_frame" in picture.changed
    assert getattr(result, "n_frames", 1) == 1
    assert difference(result, frames[0]) < 8


def test_a_later_frames_pixels_are_not_sent() -> None:
    frames = [photo(64, 48).convert("P"), photo(64, 48).transpose(Image.Transpose.ROTATE_180).convert("P")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=CANARY)
    picture = take_one(data)
    assert len(picture.data) < 0.7 * len(data)
    assert picture.changed == ("metadata_removed", "first_frame")


def test_a_tiff_of_several_pages_is_its_first_page() -> None:
    picture = take_one(tiff(3))
    assert picture.changed == ("converted", "first_frame")
    assert of(picture).size == (16, 16)


def test_a_sequence_beside_a_heic_photo_never_reaches_the_decoder() -> None:
    picture = take_one(saved(SMALL, "HEIF") + b"\0\0\0\x10moov" + b"\xff" * 8)
    assert picture.changed == ("converted", "first_frame")
    assert difference(of(picture), SMALL) < 6
