//! Parameters as published and as documented.

use crate::case::{Case, D, G};

/// Trainable scalars as published, by the source of each.
#[test]
fn published_widths_have_the_published_parameters() {
    let (p32, p64, p128): (&[usize], &[usize], &[usize]) = (&[32, 32, 3], &[64, 64, 3], &[128, 128, 3]);
    let counts = [
        // github.com/pytorch/examples, dcgan/main.py.
        (Case { latent: 100, ..Case::new("dcgan", G, p64) }, 3_576_704),
        (Case::new("dcgan", D, p64), 2_765_568),
        // torch-mimicry 0.1.16: SNGAN (its WGAN-GP has the same), cGAN with projection, SAGAN.
        (Case { latent: 128, ..Case::new("resnet", G, p32) }, 4_276_739),
        (Case::new("resnet", D, p32), 1_053_825),
        (Case { latent: 128, ..Case::new("resnet", G, p64) }, 12_220_675),
        (Case::new("resnet", D, p64), 10_141_441),
        (Case { latent: 128, ..Case::new("resnet", G, p128) }, 32_150_787),
        (Case::new("resnet", D, p128), 29_017_857),
        (Case { latent: 128, ..Case::new("resnet", G, p32).told(10) }, 4_304_387),
        (Case::new("resnet", D, p32).told(10), 1_055_105),
        (Case { latent: 128, ..Case::new("sagan", G, p32).told(10) }, 4_386_308),
        (Case::new("sagan", D, p32).told(10).with("wide = 0"), 1_075_586),
        (Case { latent: 128, ..Case::new("sagan", G, p128).told(1000) }, 42_078_852),
        (Case::new("sagan", D, p128).told(1000).with("wide = 0"), 30_062_338),
        // google/compare_gan, architectures/resnet_biggan_test.py.
        (Case { latent: 120, ..Case::new("biggan", G, p128).told(1000).with("channels = 96") }, 70_433_988),
        (Case::new("biggan", D, p128).told(1000).with("channels = 96"), 87_982_370),
    ];
    for (case, expected) in counts {
        assert_eq!(case.params().count_trainable(), expected, "{case:?}");
    }
}

/// What docs/models.md suggests for CPUs has the sizes that it says.
#[test]
fn suggested_widths_have_the_documented_parameters() {
    let sample: &[usize] = &[32, 32, 3];
    let of = |model, side, options| Case { latent: 64, ..Case::new(model, side, sample).with(options) };
    let counts = [
        (of("dcgan", G, "channels = 32"), 296_896),
        (of("dcgan", D, "channels = 32"), 167_808),
        (of("resnet", G, "channels = 16"), 303_235),
        (of("resnet", D, "channels = 16"), 66_849),
        (of("resnet", G, "channels = 8\nmultipliers = [8, 8, 6, 3]"), 214_275),
        (of("resnet", D, "channels = 8\nmultipliers = [8, 8, 8, 4]"), 187_905),
        (of("sagan", G, "channels = 16").told(10), 315_268),
        (of("sagan", D, "channels = 16").told(10), 68_450),
        (of("biggan", G, "channels = 16\nshared = 64").told(10), 320_516),
        (of("biggan", D, "channels = 8").told(10), 68_450),
    ];
    for (case, expected) in counts {
        assert_eq!(case.params().count_trainable(), expected, "{case:?}");
    }
}
