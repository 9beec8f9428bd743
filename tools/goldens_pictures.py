"""Goldens of resizing pictures, by Pillow: crates/data/goldens/pictures.f32.

    python tools/goldens_pictures.py

needs numpy and Pillow (made with numpy 2.4.6 and Pillow 13.0). Pixels are integers by a formula, so that the test makes the same; each
channel is resized in floats (mode F) with the Lanczos filter, colours multiplied by their alpha first. The file holds
the results in [0, 1], before they are rounded to bytes, as little-endian f32, one case after the other in the order of
CASES, which crates/data/src/pictures/fit/tests.rs repeats.
"""

import pathlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 37, 23


def picture(channels, bits):
    """[HEIGHT, WIDTH, channels] in [0, 1]; the last of 4 channels is an alpha of at least 60."""
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(channels), indexing="ij")
    byte = (x * 7 + y * 13 + c * 29 + (x * y) % 17 * 5) % 256
    if channels == 4:
        byte = np.where(c == 3, 60 + byte % 196, byte)
    return np.minimum(byte * 257 + x, 65535) / 65535 if bits == 16 else byte / 255


def resized(image, box, width, height):
    left, top, right, bottom = box
    # Cut out first: resize(box=..) would let the filter reach beyond the box.
    image = image[top:bottom, left:right].astype(np.float32)
    planes = [
        np.asarray(Image.fromarray(image[..., c], mode="F").resize((width, height), Image.LANCZOS))
        for c in range(image.shape[-1])
    ]
    return np.clip(np.stack(planes, -1), 0, 1).astype(np.float64)


def case(source, bits, channels, box, width, height):
    image = picture(source, bits)
    if source == 4:
        image = np.concatenate([image[..., :3] * image[..., 3:], image[..., 3:]], -1)
    out = resized(image, box, width, height)
    alpha = out[..., 3:] if source == 4 else np.ones_like(out[..., :1])
    colour = out[..., :3]
    if channels == 4:
        return np.concatenate([np.clip(colour / alpha, 0, 1), alpha], -1)
    colour = np.clip(colour + (1 - alpha), 0, 1)
    if channels == 1 and source >= 3:
        return (colour @ np.array([0.299, 0.587, 0.114]))[..., None]
    return colour


WHOLE = (0, 0, WIDTH, HEIGHT)
CASES = [
    (3, 8, 3, (7, 0, 30, 23), 8, 8),  # the middle square, reduced
    (3, 8, 3, WHOLE, 12, 5),  # stretched
    (3, 8, 3, WHOLE, 64, 48),  # enlarged
    (4, 8, 4, WHOLE, 9, 11),  # with alpha
    (4, 8, 3, WHOLE, 9, 11),  # laid on white
    (3, 8, 1, WHOLE, 10, 10),  # made grey
    (1, 16, 1, WHOLE, 6, 6),  # 16 bits
]

if __name__ == "__main__":
    path = pathlib.Path(__file__).parent.parent / "crates/data/goldens/pictures.f32"
    values = np.concatenate([case(*c).ravel() for c in CASES]).astype("<f4")
    path.write_bytes(values.tobytes())
    print(path, values.size)
