#!/usr/bin/env python3
"""Writes goldens of networks whose weights the user gives, computed by the packages that publish them:

    python -m venv venv
    venv/bin/pip install torch torchvision numpy scipy pillow timm lpips pytorch-fid torch-fidelity clean-fid
    venv/bin/python tools/goldens_pretrained.py [FUNCTION..]

crates/gan/goldens/pretrained/: features of pytorch-fid's and torch-fidelity's Inception-v3, of torchvision's, of lpips' VGG16
and its distances, of DINOv2 ViT-S/14 (timm's network under the position embeddings of facebookresearch/dinov2), resizing
included; resized pixels of clean-fid, torch-fidelity and PyTorch; and small files of torch.save.

No weights are downloaded: weights and images are a formula of their names that the tests compute too (`value`, `image`).
Networks run in f64 but torch-fidelity's. Files are blocks of a header line `KIND NAME SHAPE..` and, but for the kind `tensor`
that lists a network's parameters, a line of numbers.
"""

import io
import math
import pathlib
import pickle
import struct
import sys
import tempfile
import zipfile

import lpips
import numpy as np
import pytorch_fid.inception
import timm
import torch
import torch.nn.functional as F
import torchvision
from cleanfid.resize import make_resizer
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/gan/goldens/pretrained"
MADE = "made by tools/goldens_pretrained.py"
torch.set_grad_enabled(False)


def words(name, count):
    """SplitMix64 (Steele, Lea, Flood 2014) counted from the FNV-1a hash of a name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def value(name, shape):
    """Weights as large as their fan-in asks for, statistics and gains around their usual values."""
    uniform = (words(name, math.prod(shape)) >> np.uint64(40)).astype(np.float64) / 2**24
    signed = 2 * uniform - 1
    if name.endswith("running_var"):
        out = 0.5 + uniform
    elif name.startswith("lin"):
        out = uniform
    elif name.endswith("_token") or name == "pos_embed":
        out = signed
    elif len(shape) >= 2:
        out = signed * math.sqrt(6 / math.prod(shape[1:]))
    elif name.endswith("weight") or name.endswith("gamma"):
        out = 1 + 0.2 * signed
    else:
        out = 0.2 * signed
    return out.astype(np.float32).reshape(shape)


def weights(model, drop=()):
    named = {n: tuple(t.shape) for n, t in model.state_dict().items()
             if not n.endswith("num_batches_tracked") and not n.startswith(drop)}
    return {n: torch.from_numpy(value(n, s)) for n, s in named.items()}


def image(number, height, width, channels=3):
    """Bytes: slopes of each channel under noise."""
    noise = (words(f"image{number}", height * width * channels) >> np.uint64(58)).astype(np.int64)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    slope = y * (5 + number) + x * 3 + c * 60
    return ((slope + noise.reshape(height, width, channels)) % 256).astype(np.uint8)


def block(kind, name, values):
    values = np.asarray(values, np.float64)
    header = " ".join([kind, name, *map(str, values.shape)])
    return f"{header}\n{' '.join(f'{v:.8g}' for v in values.ravel())}\n"


def listed(tensors):
    return "".join(" ".join(["tensor", n, *map(str, t.shape)]) + "\n" for n, t in tensors.items())


def write(name, *blocks):
    text = f"# {MADE}\n" + "".join(blocks)
    (OUT / name).write_text(text)
    print(name, len(text))


def clean(pixels, side):
    resized = make_resizer("PIL", False, "bicubic", (side, side))(pixels)
    return torch.from_numpy(resized).permute(2, 0, 1)[None].double()


def planes(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


# Odd sizes, to be enlarged.
IMAGES = [image(i, 37, 53) for i in range(2)]


def batch(make):
    return torch.cat([make(pixels) for pixels in IMAGES])


def inception_fid():
    model = None

    def state(*args, **kwargs):
        return {n: torch.from_numpy(value(n, tuple(s))) for n, s in SHAPES.items()}

    bare = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    SHAPES = {n: t.shape for n, t in weights(bare).items()}
    counters = {n: t for n, t in bare.state_dict().items() if n.endswith("num_batches_tracked")}
    pytorch_fid.inception.load_state_dict_from_url = lambda *a, **k: {**state(), **counters}
    model = pytorch_fid.inception.InceptionV3(resize_input=False, normalize_input=False).double().eval()
    features = model(batch(lambda p: (clean(p, 299) - 128) / 128))[0].flatten(1)
    whole = pytorch_fid.inception.InceptionV3().double().eval()
    pytorch = whole(planes(IMAGES[0]).double() / 255)[0].flatten(1)
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({**state(), **counters}, file.name)
        other = FeatureExtractorInceptionV3("i", ["2048", "logits_unbiased"], feature_extractor_weights_path=file.name)
    tensorflow, logits = other(torch.cat([planes(p) for p in IMAGES]))
    write("inception-v3-fid.txt", listed(state()), block("features", "clean", features),
          block("features", "legacy-tensorflow", tensorflow), block("logits", "legacy-tensorflow", logits),
          block("features", "legacy-pytorch", pytorch))


def inception_torchvision():
    model = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    tensors = weights(model)
    model.load_state_dict(tensors, strict=False)
    model.double()
    seen = []
    model.avgpool.register_forward_hook(lambda m, i, o: seen.append(o.flatten(1)))
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in
                 ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    logits = model((batch(lambda p: clean(p, 299)) / 255 - mean) / std)
    write("inception-v3-torchvision.txt", listed(tensors), block("features", "clean", seen[0]),
          block("logits", "clean", logits))


def vgg16_lpips():
    model = lpips.LPIPS(pretrained=False, net="vgg", pnet_rand=True, verbose=False).eval()
    tensors = weights(model, drop=("lins.", "scaling_layer."))
    shared = {f"lins.{i}.model.1.weight": tensors[f"lin{i}.model.1.weight"] for i in range(5)}
    missing = model.load_state_dict({**tensors, **shared}, strict=False).missing_keys
    assert missing == ["scaling_layer.shift", "scaling_layer.scale"], missing
    model.double()
    # Sizes that leave odd ones to the pools; the last pair differs by far less than a byte, as path lengths need it.
    signed = [planes(image(i, 43, 38)).double() / 127.5 - 1 for i in range(3)]
    pairs = [(signed[0], signed[1]), (signed[1], signed[2]), (signed[0], signed[0] + 1e-3 * (signed[1] - signed[0]))]
    distances = [float(model(a, b)) for a, b in pairs]
    stages = model.net(model.scaling_layer(torch.cat(signed)))
    features = torch.cat([lpips.normalize_tensor(s).mean((2, 3)) for s in stages], 1)
    write("vgg16-lpips.txt", listed(tensors), block("features", "own", features), block("distances", "own", distances))


def dinov2():
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, img_size=224, num_classes=0).eval()
    shapes = {n: tuple(t.shape) for n, t in model.state_dict().items()}
    # As facebookresearch/dinov2 publishes it: embeddings of 518 pixels, and a token for masked patches.
    shapes["pos_embed"], shapes["mask_token"] = (1, 1370, 384), (1, 384)
    tensors = {n: torch.from_numpy(value(n, s)) for n, s in shapes.items()}
    trained = tensors["pos_embed"].double()
    grid = trained[:, 1:].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    # Its interpolate_pos_encoding, with the offset of .1 that the hub's models are made with.
    fitted = F.interpolate(grid, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic")
    assert fitted.shape[2:] == (16, 16)
    here = torch.cat([trained[:, :1], fitted.permute(0, 2, 3, 1).reshape(1, 256, 384)], 1)
    model.load_state_dict({**{n: t for n, t in tensors.items() if n != "mask_token"}, "pos_embed": here})
    model.double()
    mean, std = (255 * torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in
                 ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    tensorflow = batch(lambda p: interpolate_bilinear_2d_like_tensorflow1x(planes(p).float(), (224, 224), align_corners=False))
    class_token = lambda x: model.forward_features(x)[:, 0]
    write("dinov2-vit-s14.txt", listed(tensors),
          block("features", "clean", class_token((batch(lambda p: clean(p, 224)) - mean) / std)),
          block("features", "legacy-tensorflow", class_token((tensorflow.double() - mean) / std)))


def resizers():
    """Every 397th value, so that all rows, columns and channels are met."""
    blocks = []
    for i, (h, w, side) in enumerate([(37, 53, 299), (28, 28, 299), (331, 301, 299), (641, 97, 224), (5, 3, 64)]):
        pixels = image(i, h, w)
        of = {
            "clean": make_resizer("PIL", False, "bicubic", (side, side))(pixels),
            "legacy-tensorflow": interpolate_bilinear_2d_like_tensorflow1x(
                planes(pixels).float(), (side, side), align_corners=False)[0].permute(1, 2, 0).numpy(),
            "legacy-pytorch": make_resizer("PyTorch", False, "bilinear", (side, side))(pixels),
        }
        for name, out in of.items():
            assert out.shape == (side, side, 3)
            blocks.append(f"size {name} {h} {w} {side}\n" + block("pixels", name, out.ravel()[::397]))
    write("resizers.txt", *blocks)


def saved():
    """The classifier of crates/gan/tests/extractors.rs in every form that torch.save has."""
    shapes = [("conv1.weight", (3, 1, 5, 5)), ("conv1.bias", (3,)), ("conv2.weight", (4, 3, 3, 3)), ("conv2.bias", (4,)),
              ("conv3.weight", (5, 4, 3, 3)), ("conv3.bias", (5,)), ("fc1.weight", (6, 45)), ("fc1.bias", (6,)),
              ("fc2.weight", (3, 6)), ("fc2.bias", (3,))]

    def tensor(t, shape):
        i = np.arange(math.prod(shape))
        return torch.from_numpy((np.float32((i * 37 + t * 11) % 101) / np.float32(101) - np.float32(0.45)).reshape(shape))

    state = {name: tensor(t, shape) for t, (name, shape) in enumerate(shapes)}
    torch.save(state, OUT / "zip.pth")
    torch.save(state, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    # As a training loop keeps it: under a key, beside an optimizer, a matrix stored transposed, double precision in part.
    odd = {n: (t.T.contiguous().T if t.dim() == 2 else t.double()) for n, t in state.items()}
    torch.save({"epoch": 3, "state_dict": odd, "optimizer": {"lr": 0.1, "moment": torch.ones(3)}}, OUT / "nested.pth")
    torch.save({n: t.half() if t.dim() > 1 else t.bfloat16() for n, t in state.items()}, OUT / "half.pth")

    class Evil:
        def __reduce__(self):
            return eval, ("__import__('pathlib').Path('executed').touch()",)

    # The archive with an object in the state dict that would run code when unpickled.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("evil/data.pkl", pickle.dumps({"conv1.weight": Evil()}, protocol=2))
        file.writestr("evil/byteorder", "little")
        file.writestr("evil/version", "3\n")
    (OUT / "evil.pth").write_bytes(buffer.getvalue())
    # An archive that says its pickle unpacks to 200 MB.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb/data.pkl", b"a" * 1000)
    claimed = buffer.getvalue().replace(struct.pack("<I", 1000), struct.pack("<I", 200_000_000))
    (OUT / "bomb.pth").write_bytes(claimed)


OUT.mkdir(parents=True, exist_ok=True)
for make in (resizers, saved, vgg16_lpips, dinov2, inception_torchvision, inception_fid):
    if not sys.argv[1:] or make.__name__ in sys.argv[1:]:
        make()
