"""What a picture costs the worker: `python -m dev.bench_pictures` prints a line for each kind of photo.

CPU is the best of several runs; memory is the growth of a fresh process's peak over its idle state, in MB
(Linux only). The photos are made here, with a sensor's noise, and no two machines compare.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pillow_heif
from PIL import Image

from shared.pictures import Intake, Picture, PictureLimits, take_one

RUNS = 5
CROWDED = ("JPEG, 12 MP", "JPEG, 12 MP, quality 96", "PNG, 6 MP", "WEBP, 12 MP", "HEIC, 12 MP")


def scene(width: int, height: int) -> Image.Image:
    """Soft colours under noise."""
    shades = (
        Image.linear_gradient("L").resize((width, height)),
        Image.radial_gradient("L").resize((width, height)),
    )
    grain = Image.effect_noise((width, height), 40)
    soft = Image.merge("RGB", (shades[0], shades[1], shades[0].rotate(180)))
    return Image.blend(soft, Image.merge("RGB", (grain, grain.rotate(180), grain)), 0.2)


def cut_out(width: int, height: int) -> Image.Image:
    """The same with transparent corners."""
    picture = scene(width, height)
    picture.putalpha(Image.radial_gradient("L").resize((width, height)))
    return picture


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(picture).save(out, quality=50, tile_size=512)
    else:
        picture.save(out, kind, **options)
    return out.getvalue()


def turned(orientation: int) -> Image.Exif:
    """EXIF with an orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def cases() -> dict[str, Callable[[], bytes]]:
    """The photos, made when they are measured."""
    large, small, square = scene(4032, 3024), scene(2048, 1536), scene(3464, 3464)
    return {
        "JPEG, small and clean": lambda: encoded(small, "JPEG", quality=90),
        "JPEG, small, with EXIF": lambda: encoded(small, "JPEG", quality=90, exif=turned(1)),
        "JPEG, small, on its side": lambda: encoded(small, "JPEG", quality=90, exif=turned(6)),
        "PNG, small and clean": lambda: encoded(small, "PNG", compress_level=1),
        "GIF, small and clean": lambda: encoded(small.quantize(), "GIF"),
        "WEBP, small and clean": lambda: encoded(small, "WEBP", method=0),
        "JPEG, 12 MP": lambda: encoded(large, "JPEG", quality=90),
        "JPEG, 12 MP, 4:4:4, quality 95": lambda: encoded(large, "JPEG", quality=95, subsampling="4:4:4"),
        "JPEG, 12 MP, quality 96": lambda: encoded(large, "JPEG", quality=96),
        "JPEG, 12 MP, on its side": lambda: encoded(large, "JPEG", quality=90, exif=turned(6)),
        "JPEG, 12 MP, progressive": lambda: encoded(large, "JPEG", quality=90, progressive=True),
        "JPEG, 12 MP, square": lambda: encoded(square, "JPEG", quality=90),
        "JPEG, 12 MP, square, 4:4:4": lambda: encoded(square, "JPEG", quality=95, subsampling="4:4:4"),
        "JPEG, 12 MP, CMYK": lambda: encoded(large.convert("CMYK"), "JPEG", quality=85),
        "JPEG, 48 MP": lambda: encoded(scene(8064, 6048), "JPEG", quality=85),
        "PNG, 6 MP": lambda: encoded(scene(3000, 2000), "PNG", compress_level=1),
        "PNG, 3 MP, transparent": lambda: encoded(cut_out(2400, 1200), "PNG", compress_level=1),
        "WEBP, 12 MP": lambda: encoded(large, "WEBP", method=0),
        "HEIC, 12 MP": lambda: encoded(large, "HEIF"),
        "BMP, 6 MP": lambda: encoded(scene(3000, 2000), "BMP"),
        "TIFF, 6 MP": lambda: encoded(scene(3000, 2000), "TIFF"),
    }


def memory(line: str) -> float:
    """A line of this process's status, in MB; nothing where there is no such file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    return int(status.read_text().split(line + ":")[1].split()[0]) / 1024


def warm() -> float:
    """Load the decoders, and tell what the idle process holds."""
    for kind in ("PNG", "HEIF"):
        take_one(encoded(Image.new("RGB", (64, 64)), kind), limits=PictureLimits(long_side=32))
    return memory("VmRSS")


def one(data: bytes) -> tuple[float, float, Picture]:
    """Milliseconds of CPU, MB at the peak above idle, and what came out."""
    idle = warm()
    picture = take_one(data)
    peak = memory("VmHWM") - idle
    best = float("inf")
    for _ in range(RUNS):
        before = time.process_time()
        take_one(data)
        best = min(best, time.process_time() - before)
    return 1000 * best, peak, picture


def crowd(data: bytes, callers: int) -> tuple[float, float, float]:
    """Seconds, MB at the peak above idle with the files, and the loop's longest pause in milliseconds."""
    return asyncio.run(_crowd(data, callers, warm()))


async def _crowd(data: bytes, callers: int, idle: float) -> tuple[float, float, float]:
    intake = Intake()
    files = [bytes(bytearray(data)) for _ in range(callers)]
    began = before = time.perf_counter()
    work = asyncio.gather(*(intake.take([file]) for file in files))
    longest = 0.0
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    await work
    intake.close()
    return before - began, memory("VmHWM") - idle, 1000 * longest


def main() -> None:
    """Print both tables, each line from a process of its own."""
    fresh = ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)
    files = {name: make() for name, make in cases().items()}
    print(f"{'photo':32} {'MB in':>6} {'kB out':>7} {'CPU ms':>7} {'peak MB':>8}  sent as")
    for name, data in files.items():
        cost, peak, picture = fresh.submit(one, data).result()
        numbers = f"{len(data) / 1e6:6.2f} {len(picture.data) / 1e3:7.0f} {cost:7.1f} {peak:8.0f}"
        changed = ", ".join(picture.changed) or "untouched"
        print(f"{name:32} {numbers}  {picture.media_type} {picture.width} x {picture.height} {changed}")
    print(f"\n{'twenty callers at once':32} {'MB in':>6} {'seconds':>8} {'peak MB':>8} {'loop pause ms':>14}")
    for name in CROWDED:
        seconds, peak, pause = fresh.submit(crowd, files[name], 20).result()
        print(f"{name:32} {20 * len(files[name]) / 1e6:6.0f} {seconds:8.1f} {peak:8.0f} {pause:14.0f}")


if __name__ == "__main__":
    main()
