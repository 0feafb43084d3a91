"""How the program's HTML pages are filled in."""

import base64
from io import BytesIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from lightning_app.pictures import RGBArray

_LONGEST = 480
_QUALITY = 85


def page_environment(package: str) -> Environment:
    """Returns what fills in the pages of a package; text from users is escaped, and a value that is missing an error.

    Args:
        package: name of the package that the pages lie in.
    """
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def picture_address(tile: RGBArray) -> str:
    """Returns a picture as the address of an image that a page holds itself, at most 480 pixels long.

    Args:
        tile: (H, W, 3) uint8.
    """
    picture = Image.fromarray(tile)
    picture.thumbnail((_LONGEST, _LONGEST))
    file = BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
