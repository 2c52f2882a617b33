"""Whatever is done to a valid file, the intake takes it or refuses it, and does neither slowly."""

from __future__ import annotations

import contextlib
import functools
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from shared.pictures import PictureLimits, decode_data_url, take_one
from tests.photos import exif, opened, photo, saved, tiff_with_tags

LIMITS = PictureLimits(long_side=64, max_pixels=1_000_000)


@functools.cache
def valid() -> dict[str, bytes]:
    """Small files of every kind, half of them in need of decoding."""
    picture, frame = photo(48, 32), photo(48, 32, "RGBA")
    files = {kind: saved(picture, kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "HEIF")}
    files |= {f"large {kind}": saved(photo(96, 8), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP")}
    files |= {f"turned {kind}": saved(frame, kind, exif=exif(6)) for kind in ("PNG", "WEBP", "HEIF")}
    files |= {f"moving {kind}": saved(picture, kind, save_all=True, append_images=[frame]) for kind in ("GIF", "WEBP")}
    files |= {f"{how} TIFF": saved(picture, "TIFF", compression=how) for how in ("tiff_lzw", "jpeg", "packbits")}
    files["progressive JPEG"] = saved(photo(96, 80), "JPEG", progressive=True)
    files["tiled HEIF"] = saved(photo(200, 130), "HEIF", tile_size=64)
    files["turned TIFF"] = tiff_with_tags(frame, 6)
    files["turned JPEG"] = saved(picture, "JPEG", exif=exif(6))
    return files


def taken(data: bytes) -> bool:
    """Whether the file is taken; no other error may come out, nor anything that can't be opened."""
    before = time.process_time()
    try:
        picture = take_one(data, limits=LIMITS)
    except (InvalidImage, UnsupportedImage, ImageTooLarge):
        return False
    finally:
        assert time.process_time() - before < 2
    assert max(picture.width, picture.height) <= 64
    assert picture.changed or picture.data is data
    return True


def test_every_file_is_taken_before_it_is_changed() -> None:
    for name, data in valid().items():
        assert taken(data), name
        assert opened(take_one(data, limits=LIMITS).data).size, name


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_is_taken_or_refused(data: st.DataObject) -> None:
    file = bytearray(valid()[data.draw(st.sampled_from(sorted(valid())))])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(file)) | st.integers(0, min(len(file), 200)))
        removed = data.draw(st.integers(0, 8))
        file[at : at + removed] = data.draw(st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\0" * 4]))
    taken(bytes(file))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_start_of_a_file_before_anything_is_taken_or_refused(data: st.DataObject) -> None:
    file = valid()[data.draw(st.sampled_from(sorted(valid())))]
    start = file[: data.draw(st.integers(0, min(len(file), 64)))]
    taken(start + data.draw(st.binary(max_size=200)))


@given(st.text(max_size=100) | st.text("data:image/png;base64,A=+", max_size=60))
def test_any_text_is_a_picture_or_refused_as_a_data_url(text: str) -> None:
    for url in (text, f"data:image/png;base64,{text}"):
        with contextlib.suppress(InvalidImage):
            decode_data_url(url, limits=LIMITS)
