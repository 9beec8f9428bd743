"""Square crops of a folder's pictures, as many as asked: a set of many images at one size, out of few large ones.

    python3 -m venv venv && venv/bin/pip install pillow
    venv/bin/python benches/studies/crops.py path/to/pictures path/to/crops [--count 3000] [--least .5] [--most 1] [--side 64]

Pictures are taken in turn. A crop's side is a share of its picture's shorter one, from --least to --most, its place anywhere within; it is
mirrored in one of two, reduced to --side pixels by a filter of three lobes and kept as PNG in a folder of the same name as its
picture's. Made with Pillow 13.0; the same files for the same pictures and --seed.
"""

import argparse
import pathlib
import random

from PIL import Image, ImageOps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=pathlib.Path, help="a folder of JPEG and PNG files, with any folders in it")
    parser.add_argument("out", type=pathlib.Path, help="the folder for the crops")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--least", type=float, default=0.5)
    parser.add_argument("--most", type=float, default=1.0)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    files = sorted(file for file in args.pictures.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SystemExit(f"{args.pictures}: no JPEG or PNG file in it")
    folders = [args.out / file.parent.relative_to(args.pictures) for file in files]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    pictures = [ImageOps.exif_transpose(Image.open(file)).convert("RGB") for file in files]
    draw = random.Random(args.seed)
    for index in range(args.count):
        picture = pictures[index % len(files)]
        side = round(min(picture.size) * draw.uniform(args.least, args.most))
        left, top = (draw.randint(0, extent - side) for extent in picture.size)
        crop = picture.resize((args.side, args.side), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
        if draw.random() < 0.5:
            crop = ImageOps.mirror(crop)
        crop.save(folders[index % len(files)] / f"{index:05}.png")


main()
