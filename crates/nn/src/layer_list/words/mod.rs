//! The layer words, one file a kind.

pub mod activation;
pub mod attention;
pub mod classify;
pub mod concat_label;
pub mod conditional_norm;
pub mod conv;
pub mod conv_transpose;
pub mod dense;
pub mod dropout;
pub mod fourier;
pub mod minibatch_stddev;
pub mod norm;
pub mod pool;
pub mod projection;
pub mod resample;
pub mod shape;
