import io

import numpy as np

from keras_attention.preprocessing.files import import_package


def render_svg(data, size):
    resvg = import_package("resvg_py", "resvg-py", "demo", "Reading SVG")
    pillow = import_package("PIL.Image", "pillow", "vision", "Reading images")
    png = resvg.svg_to_bytes(
        svg_string=data.decode(),
        width=size[1],
        height=size[0],
        background="#ffffff",
        skip_system_fonts=True,
    )
    return np.asarray(pillow.open(io.BytesIO(bytes(png))).convert("RGB"))
