"""The way in: bytes from a stranger become pictures that a model reads."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar, overload

from shared.errors import ImageTooLarge, InvalidImage, TooManyImages, UnsupportedImage
from shared.pictures import bmp, gif, heif, jpeg, png, raster, tiff, webp
from shared.pictures.data_url import decode_data_url
from shared.pictures.picture import Picture, PictureLimits, RemotePicture
from shared.pictures.survey import Broken, Flaw, Oversized, Survey, Unsupported

LANES = 2
HTTPS = "https://"
HEAVY = 64 * 1024 * 1024
MOST_PER_PIXEL = 8
ERRORS = {Broken: InvalidImage, Unsupported: UnsupportedImage, Oversized: ImageTooLarge}
CHANGES = ("converted", "resized", "rotated", "metadata_removed", "first_frame")

T = TypeVar("T")


class Intake:
    """Takes pictures in for one worker: in memory, off the event loop, at most two decodes at a time.

    One is made for the worker's life; its two threads start with the first pictures.
    """

    def __init__(self, limits: PictureLimits | None = None, *, allow_remote: bool = False) -> None:
        self.limits = limits or PictureLimits()
        self._allow_remote = allow_remote
        self._lanes = [Lane() for _ in range(LANES)]

    @overload
    async def take(self, images: Sequence[bytes]) -> tuple[Picture, ...]: ...

    @overload
    async def take(self, images: Sequence[bytes | str]) -> tuple[Picture | RemotePicture, ...]: ...

    async def take(self, images: Sequence[bytes | str]) -> tuple[Picture | RemotePicture, ...]:
        """Check and prepare one request's pictures, one after another, so that callers share fairly.

        Each is its bytes or a data URL. An https address is passed on, where that is allowed: it is never fetched.

        Raises:
            TooManyImages: More than `limits.max_images`.
            InvalidImage, UnsupportedImage, ImageTooLarge: The first picture that isn't taken, by its number.
        """
        if len(images) > self.limits.max_images:
            allowed = self.limits.max_images
            raise TooManyImages(f"{len(images)} images were sent, and at most {allowed} are taken; send fewer.")
        for index, image in enumerate(images):
            with _naming(index):
                self._check_form(image)
        # A caller who gave the list away holds nothing of it, and each form of a picture makes room for the next.
        waiting = list(images)[::-1]
        image = b""
        del images
        pictures: list[Picture | RemotePicture] = []
        while waiting:
            if isinstance(waiting[-1], str) and waiting[-1][:8].lower() == HTTPS:
                pictures.append(RemotePicture(str(waiting.pop())))
                continue
            with _naming(index := len(pictures)):
                pictures.append(await self._one(waiting.pop(), index))
        return tuple(pictures)

    async def urls(self, pictures: Sequence[Picture | RemotePicture]) -> list[str]:
        """The pictures' addresses, each made in a thread: that of a large one takes a while, and memory."""
        return [await self._idlest().run(partial(getattr, picture, "url")) for picture in pictures]

    def _surveyed(self, image: bytes | str, index: int) -> Survey:
        if isinstance(image, str):
            image = decode_data_url(image, index, self.limits)
            _check_bytes(image, self.limits)
        return _survey(image, self.limits)

    def _check_form(self, image: bytes | str) -> None:
        """What can be said without a thread: all of a request's pictures are looked at before the first is decoded."""
        if isinstance(image, bytes):
            _check_bytes(image, self.limits)
        elif image[:5].lower() != "data:" and not (self._allow_remote and image.lower().startswith(HTTPS)):
            raise Broken("is an address or no data URL; send the picture itself, as data:image/png;base64,… .")

    async def _one(self, image: bytes | str, index: int) -> Picture:
        survey = await self._idlest().run(partial(self._surveyed, image, index))
        del image
        if _fits(survey, self.limits):
            return _as_it_is(survey)
        # The large ones share one thread: one at a time, and what the allocator keeps for it is kept once.
        heavy = raster.memory_needed(survey, self.limits) > HEAVY
        lane = self._lanes[0] if heavy else self._idlest()
        return await lane.run(partial(_redrawn, survey, self.limits))

    def _idlest(self) -> Lane:
        return min(reversed(self._lanes), key=lambda lane: lane.waiting)

    def close(self) -> None:
        """Let the threads go once what they are doing is done; what was waiting is dropped."""
        for lane in self._lanes:
            lane.close()


class Lane:
    """One thread, started when it is first needed. `waiting` counts what it has before it."""

    def __init__(self) -> None:
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in the thread. A caller who leaves takes back only what has not begun."""
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Drop what waits, and end the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def take_one(data: bytes, index: int = 0, limits: PictureLimits | None = None) -> Picture:
    """Check and prepare one picture, here and now.

    `index` counts from 0 and goes into messages as a number from 1.

    Raises:
        InvalidImage: Empty, damaged, cut short or malformed.
        UnsupportedImage: Not a kind that is taken.
        ImageTooLarge: More bytes, pixels or frames than `limits` allow.
    """
    limits = limits or PictureLimits()
    with _naming(index):
        _check_bytes(data, limits)
        survey = _survey(data, limits)
        return _as_it_is(survey) if _fits(survey, limits) else _redrawn(survey, limits)


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Turns a flaw into the caller's error, which names the picture."""
    try:
        yield
    except Flaw as flaw:
        raise ERRORS[type(flaw)](f"Image {index + 1} {flaw}") from flaw


def _check_bytes(data: bytes, limits: PictureLimits) -> None:
    if not data:
        raise Broken("is empty; send the picture's bytes.")
    if len(data) > limits.max_bytes:
        raise Oversized(f"is larger than {limits.max_bytes / 2**20:g} MiB; send it smaller.")


def _survey(data: bytes, limits: PictureLimits) -> Survey:
    """Look through a file by the rules of the kind that its first bytes show."""
    if data.startswith(jpeg.MAGIC):
        survey = jpeg.survey
    elif data.startswith(png.MAGIC):
        survey = png.survey
    elif data.startswith(gif.MAGIC):
        survey = gif.survey
    elif webp.recognises(data):
        survey = webp.survey
    elif heif.recognises(data):
        survey = heif.survey
    elif data[:4] in tiff.MAGIC:
        survey = tiff.survey
    elif data.startswith(bmp.MAGIC):
        survey = bmp.survey
    else:
        raise Unsupported
    try:
        return survey(data, limits)
    except (IndexError, struct.error):  # it walked off the end
        raise Broken from None


def _fits(survey: Survey, limits: PictureLimits) -> bool:
    """Whether the picture can be sent without being encoded anew."""
    small = max(survey.width, survey.height) <= limits.long_side
    return small and survey.sendable and survey.orientation == 1


def _as_it_is(survey: Survey) -> Picture:
    return Picture(survey.clean, survey.media_type, survey.width, survey.height, _changes(survey))


def _redrawn(survey: Survey, limits: PictureLimits) -> Picture:
    """The picture decoded and encoded anew."""
    if raster.memory_needed(survey, limits) > MOST_PER_PIXEL * limits.max_pixels:
        raise Oversized("needs too much memory to decode; send it smaller, or as an ordinary JPEG.")
    try:
        new = raster.render(survey, limits)
    except Exception as exc:  # the decoders raise nearly anything
        raise Broken from exc
    converted = not survey.sendable or new.media_type != survey.media_type
    changes = _changes(survey, converted=converted, resized=new.resized)
    return Picture(new.data, new.media_type, new.width, new.height, changes)


def _changes(survey: Survey, *, converted: bool = False, resized: bool = False) -> tuple[str, ...]:
    done = (converted, resized, survey.orientation != 1, survey.metadata, survey.frames > 1)
    return tuple(name for name, was_done in zip(CHANGES, done, strict=True) if was_done)
