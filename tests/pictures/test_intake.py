"""Many pictures and many callers: order, numbers in messages, threads, and nobody gets another's picture."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image, ImageStat

from shared.errors import InvalidImage, TooManyImages
from shared.pictures import Intake, Picture, PictureLimits
from tests.photos import SMALL, of, photo, saved


@pytest.mark.asyncio
async def test_pictures_come_back_in_their_order() -> None:
    intake = Intake()
    sizes = [(10, 20), (2300, 40), (30, 40), (50, 60)]
    pictures = await intake.take([saved(photo(*size), "JPEG") for size in sizes])
    assert [(picture.width, picture.height) for picture in pictures] == [
        (10, 20),
        (2048, 36),
        (30, 40),
        (50, 60),
    ]
    assert await intake.take([]) == ()
    intake.close()


@pytest.mark.asyncio
async def test_too_many_images_are_refused() -> None:
    intake = Intake(PictureLimits(max_images=2))
    with pytest.raises(TooManyImages, match="3 images were sent, and at most 2"):
        await intake.take([b"x"] * 3)


@pytest.mark.asyncio
async def test_the_message_names_the_image_counting_from_one() -> None:
    intake = Intake()
    with pytest.raises(InvalidImage, match=r"^Image 2 "):
        await intake.take([saved(SMALL, "PNG"), saved(SMALL, "PNG")[:-1], b"also bad"])
    with pytest.raises(InvalidImage, match=r"^Image 3 is empty"):
        await intake.take([saved(SMALL, "PNG"), saved(SMALL, "PNG"), b""])
    intake.close()


@pytest.mark.asyncio
async def test_callers_at_once_get_their_own_pictures_from_two_threads_at_most() -> None:
    intake = Intake(PictureLimits(long_side=64))
    colours = [(10 * number, 250 - 10 * number, 128) for number in range(24)]
    files = [[saved(Image.new("RGB", (200, 100 + number), colour), "PNG")] * 2 for number, colour in enumerate(colours)]
    busiest = 0

    async def one(images: list[bytes]) -> tuple[Picture, ...]:
        nonlocal busiest
        pictures = await intake.take(images)
        busiest = max(busiest, sum(thread.name.startswith("pictures") for thread in threading.enumerate()))
        return pictures

    for colour, pictures in zip(colours, await asyncio.gather(*map(one, files)), strict=True):
        for picture in pictures:
            assert max(abs(a - b) for a, b in zip(ImageStat.Stat(of(picture)).mean, colour, strict=True)) < 4
    assert busiest == 2
    intake.close()


@pytest.mark.asyncio
async def test_the_event_loop_goes_on_while_a_large_photo_is_decoded() -> None:
    data = saved(photo(3600, 2700, noise=10), "PNG", compress_level=1)
    intake = Intake()
    await intake.take([saved(SMALL, "BMP")])
    work = asyncio.ensure_future(intake.take([data] * 2))
    longest, began = 0.0, time.perf_counter()
    before = began
    while not work.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    assert (await work)[0].changed == ("converted", "resized")
    assert longest < 0.3 * (before - began)
    intake.close()


@pytest.mark.asyncio
async def test_a_caller_who_leaves_does_not_stop_the_others() -> None:
    intake = Intake()
    data = saved(photo(2400, 1800), "PNG")
    leaving = [asyncio.ensure_future(intake.take([data] * 4)) for _ in range(4)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    assert (await intake.take([saved(SMALL, "PNG")]))[0].width == 320
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*leaving, return_exceptions=True)
    )
    intake.close()


def test_pillow_is_not_imported_before_it_is_needed() -> None:
    script = "import sys, shared.pictures; sys.exit(sum(name in sys.modules for name in ('PIL', 'pillow_heif')))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
