use super::resample::Resize;
use super::tensors::Tensors;
use super::{Built, Network, Range};
use ganymede_graph::Tensor;
use ganymede_nn::layers::{ConvLayer, DenseLayer, Norm, conv, dense, layer_norm};
use ganymede_nn::{Init, Scope};

/// Width, blocks and heads of ViT-S (Dosovitskiy et al. 2021, Touvron et al. 2021 for the small one).
const WIDTH: usize = 384;
const BLOCKS: usize = 12;
const HEADS: usize = 6;
/// Side of a patch, and of the images.
const PATCH: usize = 14;
const SIDE: usize = 224;
/// Patches along a side, here and in training (518 / 14).
const GRID: usize = SIDE / PATCH;
const TRAINED_GRID: usize = 37;
/// Added to the size when position embeddings are interpolated: the hub's models keep it from the first version.
const OFFSET: f64 = 0.1;
const EPS: f64 = 1e-6;

/// DINOv2's small vision transformer.
pub(super) struct DinoV2;

fn dense_at(scope: &Scope, name: &str, x: &Tensor, units: usize) -> Tensor {
    dense(&scope.child(name), x, DenseLayer::new(units))
}

fn norm_at(scope: &Scope, name: &str, x: &Tensor) -> Tensor {
    layer_norm(&scope.child(name), x, Norm { eps: EPS, ..Norm::default() })
}

/// Self-attention among the tokens of each image, `[N T, width]`.
fn attention(scope: &Scope, x: &Tensor, images: usize) -> Tensor {
    let all = dense_at(scope, "qkv", x, 3 * WIDTH);
    if all.is_poisoned() {
        return all;
    }
    let (tokens, each) = (x.shape()[0] / images, WIDTH / HEADS);
    let apart = all.reshape(&[images, tokens, 3, HEADS, each]).transpose(&[2, 0, 3, 1, 4]);
    let part = |i: usize| apart.slice(0, i, i + 1).reshape(&[images * HEADS, tokens, each]);
    let (query, key, value) = (part(0) * (1.0 / (each as f64).sqrt()), part(1), part(2));
    let seen = query.matmul_with(&key, false, true).softmax().matmul(&value);
    let joined = seen.reshape(&[images, HEADS, tokens, each]).transpose(&[0, 2, 1, 3]);
    dense_at(scope, "proj", &joined.reshape(&[images * tokens, WIDTH]), WIDTH)
}

fn block(scope: &Scope, x: &Tensor, images: usize) -> Tensor {
    let scaled = |name: &str, y: Tensor| y * scope.child(name).param("gamma", &[WIDTH], Init::Ones);
    let seen = attention(&scope.child("attn"), &norm_at(scope, "norm1", x), images);
    let x = x + scaled("ls1", seen);
    let mlp = scope.child("mlp");
    let wide = dense_at(&mlp, "fc1", &norm_at(scope, "norm2", &x), 4 * WIDTH).gelu();
    &x + scaled("ls2", dense_at(&mlp, "fc2", &wide, WIDTH))
}

impl Network for DinoV2 {
    fn name(&self) -> &'static str {
        "dinov2-vit-s14"
    }

    fn about(&self) -> &'static str {
        "DINOv2 ViT-S/14 at 224 pixels: 384 features, the class token; ranks generators nearer to people's eyes than Inception \
         (Stein et al. 2023)."
    }

    fn paper(&self) -> &'static str {
        "Oquab et al. 2023; Stein et al. 2023 for its use"
    }

    fn published(&self) -> &'static str {
        "dinov2_vits14_pretrain.pth of github.com/facebookresearch/dinov2 (Apache-2.0)"
    }

    fn expects(&self) -> &'static str {
        "patch_embed.proj.weight [384, 3, 14, 14] and blocks.11.mlp.fc2.weight [384, 1536], without register tokens"
    }

    fn recognises(&self, tensors: &Tensors) -> bool {
        tensors.has("patch_embed.proj.weight", &[WIDTH, 3, PATCH, PATCH])
            && tensors.has("blocks.11.mlp.fc2.weight", &[WIDTH, 4 * WIDTH])
            && tensors.shape("blocks.12.norm1.weight").is_none()
            && tensors.shape("register_tokens").is_none()
    }

    fn side(&self) -> Option<usize> {
        Some(SIDE)
    }

    /// ImageNet's statistics.
    fn range(&self) -> Range {
        let bytes = |of: [f64; 3]| of.map(|v| 255.0 * v);
        Range { mean: bytes([0.485, 0.456, 0.406]), deviation: bytes([0.229, 0.224, 0.225]) }
    }

    fn batch(&self, _size: [usize; 2]) -> usize {
        32
    }

    fn parameter(&self, tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let published = name.replace('/', ".");
        if published != "pos_embed" || tensors.has(&published, shape) {
            return super::plain(tensors, &published, shape);
        }
        let trained = tensors.floats(&published, &[1, 1 + TRAINED_GRID * TRAINED_GRID, WIDTH])?;
        let mut here = vec![0.0; (1 + GRID * GRID) * WIDTH];
        here[..WIDTH].copy_from_slice(&trained[..WIDTH]);
        Resize::grid(TRAINED_GRID, GRID, OFFSET, WIDTH).apply(&trained[WIDTH..], &mut here[WIDTH..]);
        Ok(here)
    }

    fn build(&self, scope: &Scope, images: &Tensor) -> Built {
        let patches = ConvLayer::new(WIDTH, PATCH).stride(PATCH);
        let x = conv(&scope.child("patch_embed").child("proj"), images, patches);
        if x.is_poisoned() {
            return Built { features: x, logits: None };
        }
        let (n, tokens) = (x.shape()[0], 1 + GRID * GRID);
        let class = scope.param("cls_token", &[1, 1, WIDTH], Init::Zeros).broadcast_to(&[n, 1, WIDTH]);
        let x = Tensor::concat(&[&class, &x.reshape(&[n, GRID * GRID, WIDTH])], 1);
        let x = x + scope.param("pos_embed", &[1, tokens, WIDTH], Init::Zeros);
        let mut x = x.reshape(&[n * tokens, WIDTH]);
        for i in 0..BLOCKS {
            x = block(&scope.child("blocks").child(&i.to_string()), &x, n);
        }
        let class = x.reshape(&[n, tokens, WIDTH]).slice(1, 0, 1).reshape(&[n, WIDTH]);
        Built { features: norm_at(scope, "norm", &class), logits: None }
    }

    fn dimensions(&self) -> usize {
        WIDTH
    }
}
