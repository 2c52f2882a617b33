"""Makes pictures for tests: photographs in every format, what cameras add, and files of ill will."""

from __future__ import annotations

import io
import struct
import zlib

import pillow_heif
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageOps, ImageStat, TiffImagePlugin

from shared.pictures import Picture

CANARY = b"CANARY-48.8584N-2.2945E"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

# What has to be done to an upright picture so that its EXIF orientation turns it back.
UNTURN = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def photo(width: int, height: int, mode: str = "RGB", noise: float = 0) -> Image.Image:
    """Smooth colours, different in every corner, with one dark corner; `noise` makes it compress badly."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    round_ = Image.radial_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (across, down, round_))
    if noise:
        grain = Image.effect_noise((width, height), noise)
        picture = Image.blend(picture, Image.merge("RGB", (grain, grain.rotate(180), ImageOps.mirror(grain))), 0.3)
    ImageDraw.Draw(picture).rectangle((0, 0, width // 4, height // 8), fill=(20, 20, 20))
    if mode in ("RGBA", "LA"):
        picture.putalpha(across)
    if mode == "P":
        return picture.quantize(dither=Image.Dither.NONE)
    return picture.convert(mode, dither=Image.Dither.NONE)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The file's bytes. `exif`, `xmp` and the like are Pillow's options for that kind."""
    out = io.BytesIO()
    if kind == "HEIF":
        exif = options.pop("exif", None)
        raw = exif.tobytes() if isinstance(exif, Image.Exif) else None
        pillow_heif.encode(picture.mode, picture.size, picture.tobytes(), out, exif=raw, quality=90, **options)
    else:
        picture.save(out, kind, **options)
    return out.getvalue()


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' channels, of 255."""
    assert one.size == other.size
    changes = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
    return max(ImageStat.Stat(changes).mean)


def of(picture: Picture) -> Image.Image:
    """The picture decoded; its size and type must be what it says."""
    image = opened(picture.data)
    assert image.size == (picture.width, picture.height)
    assert Image.MIME[str(image.format)] == picture.media_type
    return image


def opened(data: bytes) -> Image.Image:
    """What a decoder makes of the bytes."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def exif(orientation: int = 1) -> Image.Exif:
    """What a phone writes: maker, orientation and a place."""
    tags = Image.Exif()
    tags[0x010F] = CANARY.decode()
    tags[0x0112] = orientation
    tags[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)}
    return tags


def bare_exif(orientation: int) -> bytes:
    """The orientation and nothing else, as an EXIF block without its prefix."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0" * 4


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes, size: tuple[int, int] = (8, 8), pixels: bytes | None = None) -> bytes:
    """A true-colour PNG with further chunks before its pixels."""
    width, height = size
    raw = zlib.compress(b"\0" * (3 * width + 1) * height) if pixels is None else pixels
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", raw) + chunk(b"IEND", b"")


def segment(marker: int, body: bytes) -> bytes:
    """One JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WEBP file."""
    body = b"".join(struct.pack("<4sI", name, len(part)) + part + b"\0" * (len(part) & 1) for name, part in chunks)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP") + body


def tiff(directories: int, *, width: int = 16, loop: bool = False) -> bytes:
    """A grey TIFF of so many pages, all of the same pixels; the last may point back to the first."""
    tags = {256: width, 257: 16, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 16, 279: 256}
    size = 6 + 12 * len(tags)
    tags[273] = 8 + size * directories
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    pages = b""
    for page in range(1, directories + 1):
        following = 8 + size * page if page < directories else 8 if loop else 0
        pages += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + pages + bytes(range(256))


def gif_frames(count: int) -> bytes:
    """A GIF of so many one-pixel frames."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * count + b";"


def resized_heic(width: int, height: int, *, coded: tuple[int, int] = (64, 64)) -> bytes:
    """A HEIC whose header gives another size than its compressed picture has."""
    data = saved(Image.new("RGB", coded), "HEIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def hostile() -> dict[str, bytes]:
    """Files that must be refused at once, by what they are."""
    bomb = zlib.compress(b"\0" * 100_000_000, 9)
    jpeg, heic = saved(photo(640, 480), "JPEG"), saved(photo(320, 240), "HEIF")
    webp, gif, bmp = (
        saved(photo(320, 240), "WEBP"),
        saved(photo(320, 240), "GIF"),
        saved(photo(320, 240), "BMP"),
    )
    wide = saved(photo(2400, 300), "JPEG")
    scan = wide.index(b"\xff\xda")
    progressive = saved(photo(320, 240), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    heic_with_two_headers = heic + heic[heic.index(b"meta") - 4 :]
    return {
        "empty": b"",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "svg with a declaration": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "html": b"<!doctype html><img src=x>",
        "pdf": b"%PDF-1.7\n",
        "avif": b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf",
        "gif that is a script": b"GIF89a/*<svg xmlns='http://www.w3.org/2000/svg'/>*/=1;",
        "bmp that is text": b"BM is how many letters start",
        "only a jpeg's first bytes": b"\xff\xd8\xff\xe0",
        "only a png's first bytes": b"\x89PNG\r\n\x1a\n",
        "12,000 x 12,000 one-bit png": saved(Image.new("1", (12_000, 12_000)), "PNG"),
        "jpeg of 65,535 x 65,535": jpeg.replace(struct.pack(">HH", 480, 640), b"\xff\xff\xff\xff", 1),
        "gif of 65,535 x 65,535": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "webp of 16,777,216 x 16,777,216": riff((b"VP8X", b"\0" * 4 + b"\xff" * 6), (b"VP8 ", webp[20:])),
        "webp whose canvas is not its picture": riff((b"VP8X", b"\0" * 10), (b"VP8 ", webp[20:])),
        "heic of 60,000 x 60,000": resized_heic(60_000, 60_000),
        "heic that declares more than it has": resized_heic(7_000, 7_000),
        "heic that has more than it declares": resized_heic(64, 64, coded=(3_000, 2_000)),
        "heic with a second header": heic_with_two_headers,
        "bmp of 2,000,000 x 2,000,000": bmp[:18] + struct.pack("<ii", 2_000_000, -2_000_000) + bmp[26:],
        "tiff of 2,147,483,648 x 16": tiff(1, width=2**31),
        "tiff of 5,000 pages": tiff(5_000),
        "tiff whose pages never end": tiff(3, loop=True),
        "gif of 100,000 frames": gif_frames(100_000),
        "gif of a million blocks": gif_frames(0)[:-1] + b"!\xfe" + b"\1a" * 1_000_000 + b"\0" + gif_frames(1)[19:],
        "apng of 4,294,967,295 frames": png(chunk(b"acTL", b"\xff" * 8)),
        "png of a million chunks": png(chunk(b"tEXt", b"") * 1_000_000),
        "jpeg of a million comments": jpeg[:2] + segment(0xFE, b"") * 1_000_000 + jpeg[2:],
        "jpeg of 500 scans": progressive[:last] + progressive[last:-2] * 500 + b"\xff\xd9",
        "bomb in iCCP": png(chunk(b"iCCP", b"icc\0\0" + bomb)),
        "bomb in zTXt": png(chunk(b"zTXt", b"Comment\0\0" + bomb)),
        "bomb in iTXt": png(chunk(b"iTXt", b"Comment\0\1\0en\0\0" + bomb)),
        "bombs in many zTXt": png(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 500_000)) * 1_000),
        "bomb in IDAT": png(pixels=bomb),
        "png that is cut in its compressed pixels": png(pixels=zlib.compress(b"\0" * 8 * 25)[:-5]),
        "png with too few rows": png(pixels=zlib.compress(b"\0" * 7 * 25)),
        "png with a wrong checksum": png(chunk(b"gAMA", b"\0\0\xb1\x8f")).replace(b"\0\0\xb1\x8f", b"\0\0\xb1\x8e"),
        "jpeg cut in its scan": wide[: (scan + len(wide)) // 2],
        "gif cut at its end": gif[:-2],
        "webp cut at its end": webp[:-2],
        "bmp cut at its end": bmp[:-2],
        "tiff cut at its end": saved(photo(320, 240), "TIFF")[:-2],
        "heic cut at its end": heic[:-2],
        "large jpeg cut at its end": saved(photo(3_000, 2_000, noise=60), "JPEG")[:-2],
        "large png cut at its end": saved(photo(3_000, 2_000), "PNG")[:-20],
    }


def tiff_with_tags(picture: Image.Image, orientation: int) -> bytes:
    """A TIFF that says how it is to be turned."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = orientation
    return saved(picture, "TIFF", tiffinfo=tags)


SMALL = photo(320, 200)
