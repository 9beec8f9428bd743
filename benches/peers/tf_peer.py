"""A training step of one workload in TensorFlow (Keras layers, the whole step one tf.function). Layers, batch, loss and
optimizer are those of crates/gan/workloads.

    tf_peer.py WORKLOAD [--threads N] [--xla] [--quick]"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402

from timing import measure, report  # noqa: E402

P = argparse.ArgumentParser()
P.add_argument("workload")
P.add_argument("--threads", type=int, default=0)
P.add_argument("--xla", action="store_true")
P.add_argument("--quick", action="store_true")
O = P.parse_args()
if O.threads:
    tf.config.threading.set_intra_op_parallelism_threads(O.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.random.set_seed(0)
L = tf.keras.layers


def net(shape, *layers):
    return tf.keras.Sequential([L.Input(shape), *layers])


def leaky():
    return L.LeakyReLU(0.2)


def norm():
    return L.BatchNormalization()


def conv(to, size, stride=1, padding="same", **more):
    return L.Conv2D(to, size, stride, padding, **more)


def up(to, size, **more):
    return L.Conv2DTranspose(to, size, 2, "same", **more)


def guide_dense():
    g = net((100,), L.Dense(128, "relu"), L.Dense(128, "relu"), L.Dense(784, "tanh"), L.Reshape((28, 28, 1)))
    d = net((28, 28, 1), conv(64, 5, padding="valid", activation="relu"), norm(), L.Flatten(), L.Dense(1024, "relu"), L.Dense(1))
    return g, d


def guide_deconv():
    g = net((100,), L.Dense(49, "relu"), L.Reshape((7, 7, 1)), up(64, 5), leaky(), up(32, 5), leaky(), conv(1, 5, activation="tanh"))
    d = net((28, 28, 1), conv(64, 5, 2), leaky(), L.MaxPooling2D(2), conv(128, 5, 2), leaky(), L.Flatten(), L.Dense(1))
    return g, d


def dcgan28():
    g = net(
        (100,), L.Dense(6272), norm(), leaky(), L.Reshape((7, 7, 128)), up(64, 4), norm(), leaky(), up(32, 4), norm(), leaky(),
        conv(1, 5, activation="tanh"),
    )
    return g, net((28, 28, 1), conv(64, 5, 2), leaky(), conv(128, 5, 2), leaky(), L.Flatten(), L.Dense(1))


def dcgan64():
    bare = {"use_bias": False}
    # From 1x1, a transposed convolution with a 4x4 filter is a dense layer; the last convolution to 1x1 likewise.
    g = [L.Dense(8192, **bare), L.Reshape((4, 4, 512)), norm(), L.ReLU()]
    for width in (256, 128, 64):
        g += [up(width, 4, **bare), norm(), L.ReLU()]
    d = [conv(64, 4, 2, **bare), leaky()]
    for width in (128, 256, 512):
        d += [conv(width, 4, 2, **bare), norm(), leaky()]
    return net((100,), *g, up(3, 4, activation="tanh", **bare)), net((64, 64, 3), *d, L.Flatten(), L.Dense(1, **bare))


def mlp2d():
    def hidden():
        return [L.Dense(128, "relu"), L.Dense(128, "relu")]

    return net((2,), *hidden(), L.Dense(2)), net((2,), *hidden(), L.Dense(1))


def ctgan():
    g = net((128,), L.Dense(256), norm(), L.ReLU(), L.Dense(256), norm(), L.ReLU(), L.Dense(156, "tanh"))
    return g, net((156,), L.Dense(256), leaky(), L.Dense(256), leaky(), L.Dense(1))


# Networks, batch, latent size, sample shape, weights of the gradient penalty and of R1 (on the squared norm).
WORKLOADS = {
    "guide-dense": (guide_dense, 100, 100, (28, 28, 1), 0.0, 0.0),
    "guide-deconv": (guide_deconv, 100, 100, (28, 28, 1), 0.0, 0.0),
    "dcgan28": (dcgan28, 128, 100, (28, 28, 1), 0.0, 0.0),
    "wgangp28": (dcgan28, 128, 100, (28, 28, 1), 10.0, 0.0),
    "r1-28": (dcgan28, 128, 100, (28, 28, 1), 0.0, 5.0),
    "dcgan64": (dcgan64, 64, 100, (64, 64, 3), 0.0, 0.0),
    "mlp2d": (mlp2d, 256, 2, (2,), 0.0, 0.0),
    "ctgan": (ctgan, 500, 128, (156,), 10.0, 0.0),
}
if O.workload not in WORKLOADS:
    raise SystemExit(f"unknown workload {O.workload}: expected one of {', '.join(WORKLOADS)}")
networks, batch, latent, shape, penalty, r1 = WORKLOADS[O.workload]
G, D = networks()
parameters = [sum(int(tf.size(v)) for v in n.trainable_variables) for n in (G, D)]
optimizer_g, optimizer_d = (tf.keras.optimizers.Adam(2e-4, 0.5, 0.999) for _ in range(2))
real = tf.random.normal((batch, *shape))


def softplus_mean(x):
    return tf.reduce_mean(tf.nn.softplus(x))


def squared_gradients(inputs):
    """Squared norm of the gradient of each logit with respect to its input, and the logits."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        logits = D(inputs, training=True)
    gradient = tf.reshape(tape.gradient(logits, inputs), (batch, -1))
    return tf.reduce_sum(tf.square(gradient), axis=1), logits


@tf.function(jit_compile=O.xla)
def step():
    fake = G(tf.random.normal((batch, latent)), training=True)
    with tf.GradientTape() as tape:
        if r1:
            squares, on_real = squared_gradients(real)
        else:
            on_real = D(real, training=True)
        on_fake = D(fake, training=True)
        if penalty:
            share = tf.random.uniform((batch, *[1] * len(shape)))
            squares, _ = squared_gradients(share * real + (1 - share) * fake)
            loss = tf.reduce_mean(on_fake) - tf.reduce_mean(on_real)
            loss += penalty * tf.reduce_mean(tf.square(tf.sqrt(squares) - 1))
        else:
            loss = softplus_mean(-on_real) + softplus_mean(on_fake)
            if r1:
                loss += r1 * tf.reduce_mean(squares)
    weights = D.trainable_variables
    optimizer_d.apply_gradients(zip(tape.gradient(loss, weights), weights))
    # Gradients are asked for the generator's weights alone, so the discriminator is frozen here.
    with tf.GradientTape() as tape:
        logits = D(G(tf.random.normal((batch, latent)), training=True), training=True)
        loss = -tf.reduce_mean(logits) if penalty else softplus_mean(-logits)
    weights = G.trainable_variables
    optimizer_g.apply_gradients(zip(tape.gradient(loss, weights), weights))
    return loss


figures = measure(step, float, O.quick)
report(
    peer=f"TensorFlow {tf.__version__}" + (" XLA" if O.xla else ""), workload=O.workload, batch=batch, parameters=parameters,
    **figures,
)
