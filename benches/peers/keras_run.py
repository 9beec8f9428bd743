"""Minutes of training of recipe dcgan28's pair in Keras on images in IDX files, then a folder of PNG samples.

    keras_run.py DATA OUT [--minutes 10] [--seed 1] [--threads 2] [--samples 10000]

Layers, batch, loss and optimizer are those of crates/gan/recipes/dcgan28.toml, everything else is Keras's own: weights begin as
Keras draws them, statistics of batch norm move by .01 a step, and there is no average of weights. The whole step is one tf.function,
and the clock starts after its first call, so that tracing it is not counted."""

import argparse
import gzip
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

BATCH, LATENT = 64, 100


def images(folder):
    """Training images in [-1, 1], [N, 28, 28, 1]."""
    found = sorted(pathlib.Path(folder).glob("train-images*"))
    if not found:
        raise SystemExit(f"{folder}: no train-images file")
    opened = gzip.open(found[0], "rb") if found[0].suffix == ".gz" else open(found[0], "rb")
    with opened as file:
        raw = np.frombuffer(file.read(), np.uint8, offset=16)
    return (raw.reshape(-1, 28, 28, 1) / 127.5 - 1).astype(np.float32)


def networks():
    keras, leaky, norm = tf.keras.layers, (lambda: tf.keras.layers.LeakyReLU(0.2)), tf.keras.layers.BatchNormalization
    generator = tf.keras.Sequential([
        keras.Input((LATENT,)), keras.Dense(6272), norm(), leaky(), keras.Reshape((7, 7, 128)),
        keras.Conv2DTranspose(64, 4, 2, "same"), norm(), leaky(), keras.Conv2DTranspose(32, 4, 2, "same"), norm(), leaky(),
        keras.Conv2D(1, 5, 1, "same", activation="tanh"),
    ])
    discriminator = tf.keras.Sequential([
        keras.Input((28, 28, 1)), keras.Conv2D(64, 5, 2, "same"), leaky(), keras.Conv2D(128, 5, 2, "same"), leaky(),
        keras.Flatten(), keras.Dense(1),
    ])
    return generator, discriminator


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=10_000)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(args.seed)
    generator, discriminator = networks()
    optimizer_g, optimizer_d = (tf.keras.optimizers.Adam(2e-4, 0.5, 0.999) for _ in range(2))
    data = tf.data.Dataset.from_tensor_slices(images(args.data))
    batches = iter(data.shuffle(60_000, seed=args.seed).repeat().batch(BATCH, drop_remainder=True).prefetch(2))

    def mean(x):
        return tf.reduce_mean(tf.nn.softplus(x))

    @tf.function
    def step(real):
        fake = generator(tf.random.normal((BATCH, LATENT)), training=True)
        with tf.GradientTape() as tape:
            loss = mean(-discriminator(real, training=True)) + mean(discriminator(fake, training=True))
        weights = discriminator.trainable_variables
        optimizer_d.apply_gradients(zip(tape.gradient(loss, weights), weights))
        with tf.GradientTape() as tape:
            logits = discriminator(generator(tf.random.normal((BATCH, LATENT)), training=True), training=True)
            loss_g = mean(-logits)
        weights = generator.trainable_variables
        optimizer_g.apply_gradients(zip(tape.gradient(loss_g, weights), weights))
        return loss, loss_g

    step(next(batches))
    began, steps = time.monotonic(), 1
    while time.monotonic() - began < 60 * args.minutes:
        losses = step(next(batches))
        steps += 1
        if steps % 100 == 0:
            float(losses[0])  # waits for what has been queued
    seconds = time.monotonic() - began

    args.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, args.samples, 500):
        count = min(500, args.samples - first)
        made = generator(tf.random.normal((count, LATENT)), training=False)
        bytes_ = tf.cast(tf.clip_by_value(tf.round((made + 1) * 127.5), 0, 255), tf.uint8)
        for i in range(count):
            (args.out / f"{first + i:05}.png").write_bytes(tf.io.encode_png(bytes_[i]).numpy())
    print(json.dumps(dict(steps=steps, images=steps * BATCH, seconds=seconds, losses=[float(loss) for loss in losses],
                          tensorflow=tf.__version__)))


main()
