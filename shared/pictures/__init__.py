"""Pictures from strangers: checked, stripped of metadata, upright and small enough for the model.

`intake.py` is the way in. `jpeg.py`, `png.py`, `gif.py`, `webp.py`, `heif.py`, `tiff.py` and `bmp.py` each
read the structure of one kind of file without decoding it; `raster.py` decodes, and alone imports Pillow
and pillow-heif.
"""

from __future__ import annotations

from shared.pictures.data_url import decode_data_url
from shared.pictures.intake import Intake, take_one
from shared.pictures.picture import Picture, PictureLimits, RemotePicture

__all__ = ["Intake", "Picture", "PictureLimits", "RemotePicture", "decode_data_url", "take_one"]
