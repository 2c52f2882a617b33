"""Pictures that are not taken: each with its error, quickly, and without much memory."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from shared.errors import AppError, ImageTooLarge, InvalidImage, UnsupportedImage
from shared.pictures import PictureLimits, take_one
from tests.photos import chunk, gif_frames, hostile, photo, png, riff, saved, segment, tiff

# A process of its own, so that the high-water mark is the intake's alone; it prints what each refusal took.
REFUSE = """
import json, pathlib, sys, time
from shared.errors import AppError
from shared.pictures import take_one

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

for warm in ("warm", "warm2"):
    take_one(pathlib.Path(sys.argv[1], warm).read_bytes())
report = {}
for name in sys.stdin.read().splitlines():
    data = pathlib.Path(sys.argv[1], name).read_bytes()
    before, memory = time.process_time(), peak()
    try:
        take_one(data, 4)
        error = None
    except AppError as exc:
        error = [exc.status, exc.code, exc.message]
    report[name] = {"ms": 1000 * (time.process_time() - before), "mb": peak() - memory, "error": error}
print(json.dumps(report))
"""

CODES: dict[int, str] = {400: "invalid_image", 413: "image_too_large", 415: "unsupported_image_type"}
UNSUPPORTED = ("svg", "svg with a declaration", "html", "pdf", "avif")


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each hostile file, by name: CPU milliseconds, growth of the peak in MB, and the error."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc for the high-water mark")
    folder = tmp_path_factory.mktemp("hostile")
    names = {}
    for number, (name, data) in enumerate(hostile().items()):
        names[name] = str(number)
        (folder / str(number)).write_bytes(data)
    (folder / "warm").write_bytes(saved(photo(64, 64), "TIFF"))
    (folder / "warm2").write_bytes(saved(photo(64, 64), "HEIF"))
    command = [sys.executable, "-c", REFUSE, str(folder)]
    run = subprocess.run(command, input="\n".join(names.values()), capture_output=True, text=True, check=True)
    report = json.loads(run.stdout)
    return {name: report[number] for name, number in names.items()}


def test_every_hostile_file_is_refused_with_its_index_and_our_words(refusals: dict[str, Any]) -> None:
    for name, refusal in refusals.items():
        assert refusal["error"] is not None, name
        status, code, message = refusal["error"]
        assert CODES[status] == code, name
        assert message.startswith("Image 5 "), name
        assert message.endswith("."), name
        assert not any(word in message for word in ("PIL", "Error", "libheif", "cannot", "0x")), name


def test_hostile_files_are_refused_with_the_status_that_fits(refusals: dict[str, Any]) -> None:
    statuses = {name: refusal["error"][0] for name, refusal in refusals.items()}
    assert {name for name, status in statuses.items() if status == 415} == set(UNSUPPORTED)
    for name in (
        "12,000 x 12,000 one-bit png",
        "heic of 60,000 x 60,000",
        "tiff of 5,000 pages",
        "jpeg of 500 scans",
    ):
        assert statuses[name] == 413, name
    for name in statuses:
        if "cut" in name or "bomb" in name or name == "empty":
            assert statuses[name] == 400, name


def test_hostile_files_cost_little_time(refusals: dict[str, Any]) -> None:
    slow = {name: refusal["ms"] for name, refusal in refusals.items() if refusal["ms"] > 100}
    assert not slow


def test_hostile_files_cost_little_memory(refusals: dict[str, Any]) -> None:
    large = {name: refusal["mb"] for name, refusal in refusals.items() if refusal["mb"] > 1}
    assert sum(large.values()) < 64, large


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "HEIF"])
def test_a_file_cut_anywhere_is_refused(kind: str) -> None:
    data = saved(photo(48, 32), kind)
    for length in range(len(data)):
        with pytest.raises((InvalidImage, UnsupportedImage)):
            take_one(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "HEIF"])
def test_limits_hold_for_every_kind(kind: str) -> None:
    data = saved(photo(100, 80), kind)
    assert take_one(data, limits=PictureLimits(max_pixels=8_000, max_bytes=len(data))).width == 100
    with pytest.raises(ImageTooLarge, match=r"^Image 1 is 100 x 80 pixels"):
        take_one(data, limits=PictureLimits(max_pixels=7_999))
    with pytest.raises(ImageTooLarge, match=r"^Image 1 is larger than"):
        take_one(data, limits=PictureLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("data", [gif_frames(3), tiff(3), png(chunk(b"acTL", b"\0\0\0\3\0\0\0\0"))])
def test_frames_and_pages_are_limited(data: bytes) -> None:
    assert "first_frame" in take_one(data, limits=PictureLimits(max_frames=3)).changed
    with pytest.raises(ImageTooLarge, match="more than 2 frames"):
        take_one(data, limits=PictureLimits(max_frames=2))


def test_a_picture_that_would_need_too_much_memory_is_refused() -> None:
    data = saved(photo(300, 200), "WEBP")
    with pytest.raises(ImageTooLarge, match="memory"):
        take_one(data, limits=PictureLimits(max_pixels=60_000, long_side=100))


def test_kinds_within_a_kind_that_are_not_taken_are_named() -> None:
    jpeg = saved(photo(48, 32), "JPEG")
    twelve_bits = jpeg.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")
    arithmetic = jpeg.replace(b"\xff\xc0\x00\x11", b"\xff\xc9\x00\x11")
    run_length = saved(photo(48, 32, "P"), "BMP")
    run_length = run_length[:30] + struct.pack("<I", 1) + run_length[34:]
    fax = saved(photo(48, 32, "1"), "TIFF", compression="group4")
    sequence = saved(photo(48, 32), "HEIF").replace(b"meta", b"moov", 1)
    uncompressed = saved(photo(48, 32), "HEIF").replace(b"hvc1", b"unci")
    for data in (twelve_bits, arithmetic, run_length, fax, sequence, uncompressed):
        with pytest.raises(UnsupportedImage, match=r"^Image 1 is a "):
            take_one(data)


def test_structures_that_contradict_themselves_are_refused() -> None:
    jpeg, gif, small = saved(photo(48, 32), "JPEG"), saved(photo(48, 32), "GIF"), png()
    frame = jpeg.index(b"\xff\xc0")
    end = chunk(b"IEND", b"")
    webp = saved(photo(48, 32), "WEBP")[12:]
    at = gif.index(b",\0\0\0\0")
    for name, data in {
        "two frame headers": jpeg[:frame] + jpeg[frame : frame + 19] + jpeg[frame:],
        "scan before frame": jpeg[:2] + jpeg[jpeg.index(b"\xff\xda") :],
        "height to be told later": jpeg[: frame + 5] + b"\0\0" + jpeg[frame + 7 :],
        "unknown marker": jpeg[:2] + segment(0xF0, b"") + jpeg[2:],
        "no pixels": small[:33] + end,
        "pixels in two places": small[: -len(end)] + chunk(b"gAMA", b"\0\0\0\1") + chunk(b"IDAT", b"") + end,
        "palette missing": small.replace(small[8:33], chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0))),
        "unknown critical chunk": png(chunk(b"CgBI", b"\0\0\0\0")),
        "two headers": png(small[8:33]),
        "more pixels than declared": png(pixels=zlib.compress(b"\0" * 8 * 26)),
        "frame outside of its canvas": gif[: at + 1] + b"\1" + gif[at + 2 :],
        "two pictures": riff((b"VP8 ", webp[8:]), (b"VP8 ", webp[8:])),
        "frame without animation": riff((b"ANMF", b"\0" * 16 + webp)),
        "no picture": riff((b"ICCP", b"x")),
    }.items():
        with pytest.raises(AppError) as raised:
            take_one(data)
        assert raised.value.code == "invalid_image", name
