"""Decode, shrink, turn and encode. Only this module imports Pillow and pillow-heif, on first use."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.pictures.picture import PictureLimits
from shared.pictures.survey import Broken, Survey

if TYPE_CHECKING:
    from PIL import Image

# A JPEG decodes at a half, a quarter or an eighth for little. A result this near to the long side is left
# at that: resampling the whole picture for the last few per cent costs more than all the rest.
NEAR_ENOUGH = 0.95
STRIP_PIXELS = 1_000_000
JPEG_QUALITY = 90
PNG_COMPRESSION = 2


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture encoded anew."""

    data: bytes
    media_type: str
    width: int
    height: int
    resized: bool


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture, read in strips (`rows(top, bottom)`), so that a large one isn't copied as a whole.

    `full` is the larger side of the picture in its file; `size` can be smaller already.
    """

    rows: Callable[[int, int], Image.Image]
    size: tuple[int, int]
    full: int
    profile: bytes | None


def memory_needed(survey: Survey, limits: PictureLimits) -> int:
    """About how many bytes decoding takes at its peak: four for each pixel, and what the decoder buffers."""
    scale = _draft_scale(survey, limits)
    return 4 * survey.width * survey.height // scale**2 + survey.buffered


def render(survey: Survey, limits: PictureLimits) -> Rendered:
    """Decode a surveyed file and encode it upright and small enough.

    It becomes a PNG when it has transparency, or was a small PNG; otherwise a JPEG.

    Raises:
        Exception: Whatever the decoders raise on a damaged file; the caller makes one error of it.
    """
    pixels = _from_heif(survey.clean) if survey.kind == "HEIF" else _from_pillow(survey, limits)
    image, profile = _fitted(pixels, limits.long_side), pixels.profile
    if image.mode == "CMYK":
        image, profile = _cmyk_to_rgb(image, profile), None
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    if survey.kind != "TIFF":  # Pillow turns a TIFF itself while it loads
        image = _upright(image, survey.orientation)
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert(image.mode[:-1])
    resized = pixels.full > limits.long_side
    png = image.mode in ("LA", "RGBA") or (survey.kind == "PNG" and not resized)
    if profile and profile[16:20] != (b"GRAY" if image.mode in ("L", "LA") else b"RGB "):
        profile = None
    image.info.clear()  # Pillow would write some of it into the file
    out = io.BytesIO()
    if png:
        image.save(out, "PNG", compress_level=PNG_COMPRESSION, icc_profile=profile)
    else:
        photo = survey.kind in (
            "JPEG",
            "HEIF",
        )  # the others may be drawings, whose thin coloured lines must not smear
        image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0" if photo else "4:4:4", icc_profile=profile)
    return Rendered(out.getvalue(), "image/png" if png else "image/jpeg", image.width, image.height, resized)


def _draft_scale(survey: Survey, limits: PictureLimits) -> int:
    """By how much a JPEG is made smaller while it is decoded."""
    if survey.kind != "JPEG":
        return 1
    enough = limits.long_side * NEAR_ENOUGH
    return next((scale for scale in (8, 4, 2) if max(survey.width, survey.height) / scale >= enough), 1)


def _from_pillow(survey: Survey, limits: PictureLimits) -> Pixels:
    # Image.open looks up the formats it is told among the plugins that are loaded, and these two aren't by
    # default.
    from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    Image.MAX_IMAGE_PIXELS = limits.max_pixels  # a second net: the survey has checked already
    image = Image.open(io.BytesIO(survey.clean), formats=(survey.kind,))
    if sorted(image.size) != sorted((survey.width, survey.height)):
        raise Broken
    scale = _draft_scale(survey, limits)
    if scale > 1:
        image.draft(None, (max(1, survey.width // scale), max(1, survey.height // scale)))
    image.load()
    levels = image.getextrema() if image.mode in ("I", "F") else None

    def rows(top: int, bottom: int) -> Image.Image:
        whole = bottom - top == image.height
        return _plain(image if whole else image.crop((0, top, image.width, bottom)), levels)

    return Pixels(rows, image.size, max(survey.width, survey.height), image.info.get("icc_profile"))


def _from_heif(data: bytes) -> Pixels:
    import pillow_heif
    from PIL import Image

    pillow_heif.options.DECODE_THREADS = 2  # large ones are decoded one at a time
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
    image = file[file.primary_index]
    image.load()
    mode, stride, (width, height) = image.mode, image.stride, image.size
    info: dict[str, Any] = image.info
    raw: Any = memoryview(image.data)

    def rows(top: int, bottom: int) -> Image.Image:
        part = Image.frombuffer(
            mode, (width, bottom - top), raw[top * stride : bottom * stride], "raw", mode, stride, 1
        )
        return _plain(part, None)

    return Pixels(rows, (width, height), max(width, height), info.get("icc_profile"))


def _plain(image: Image.Image, levels: object) -> Image.Image:
    """The same in a mode that can be resampled: L, LA, RGB, RGBA, CMYK or another of several full bytes.

    `levels` are the darkest and the brightest value of numbers without a fixed range, which are spread over
    0 to 255.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return image.point(lambda value: value * (1 / 256) + 0.0).convert("L")
    if mode in ("I", "F") and isinstance(levels, tuple):
        low, high = levels
        factor = 255 / (high - low) if high > low else 0.0
        return image.point(lambda value: value * factor - low * factor).convert("L")
    transparent = "transparency" in image.info
    if mode in ("P", "PA"):
        return image.convert("RGBA" if transparent or mode == "PA" else "RGB")
    if mode in ("1", "L"):
        return image.convert("LA") if transparent else image.convert("L") if mode == "1" else image
    if mode == "RGB" and transparent:
        return image.convert("RGBA")
    if mode in ("La", "RGBa"):
        return image.convert(mode.upper())
    return image


def _fitted(pixels: Pixels, long_side: int) -> Image.Image:
    """The whole picture, its larger side at most `long_side` and its aspect ratio kept."""
    from PIL import Image

    width, height = pixels.size
    scale = max(width, height) / long_side
    if scale <= 1:
        return pixels.rows(0, height)
    box: tuple[float, float, float, float] | None = None
    factor = int(scale)
    if factor > 1:
        # Whole blocks are averaged first, strip by strip: fast, and neither a second nor an alpha-
        # multiplied copy at full size.
        step = factor * max(1, STRIP_PIXELS // (width * factor))
        image = None
        for top in range(0, height, step):
            part = pixels.rows(top, min(height, top + step)).reduce(factor)
            if image is None:
                image = Image.new(part.mode, (part.width, -(-height // factor)))
            image.paste(part, (0, top // factor))
        if image is None:
            raise ValueError("a picture without rows")
        box = (0, 0, width / factor, height / factor)
    else:
        image = pixels.rows(0, height)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return image.resize(size, Image.Resampling.HAMMING, box=box)


def _cmyk_to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Inks as sRGB: by the picture's own profile, or, without one that works, by plain inversion."""
    from PIL import ImageCms

    if profile and profile[16:20] == b"CMYK":
        try:
            inks, screen = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, inks, screen, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
        else:
            if converted is not None:
                return converted
    return image.convert("RGB")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)
