//! Stacked digits: images whose three channels are digits of their own, so that their classes are all triples (Metz et al.
//! 2017, unrolled GANs, section 3.3.1; Srivastava et al. 2017, VEEGAN). A classifier of digits looks at each channel.

use super::parts::{derived, fill_whole};
use super::{AskedOf, Extracted, Extractor};
use crate::error::Error;
use ganymede_data::{Dataset, Items};
use std::sync::Arc;

/// Channels that are stacked.
pub const HEADS: usize = 3;

/// What is stacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Classes of each channel: the set has as many to the third power, (a n + b) n + c.
    pub classes: usize,
    /// Shape of the whole images.
    pub shape: Vec<usize>,
}

impl Stack {
    /// What is stacked in a set, if anything is; a stack of which only some triples are left is a set of colour images like
    /// others, since its labels no longer say what the channels hold.
    pub fn of(set: &Dataset) -> Option<Self> {
        let classes = set.channel_classes()?;
        let stacked = set.shape().len() == 3
            && set.shape()[2] == HEADS
            && set.classes().map(<[String]>::len) == Some(classes.pow(HEADS as u32));
        stacked.then(|| Self { classes, shape: set.shape().to_vec() })
    }

    /// The channels of such a set one by one, with their own classes.
    pub fn apart(&self, set: &Arc<Dataset>) -> Arc<Dataset> {
        let items = Channels { whole: set.clone(), classes: self.classes };
        let names = (0..self.classes).map(|class| class.to_string()).collect();
        let shape = [self.shape[0], self.shape[1], 1];
        Arc::new(derived(set, "its channels", &shape, Some(names), Box::new(items)))
    }
}

struct Channels {
    whole: Arc<Dataset>,
    classes: usize,
}

impl Items for Channels {
    fn count(&self) -> Option<u64> {
        self.whole.len().map(|items| items * HEADS as u64)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        let of: Vec<u64> = indices.iter().map(|i| i / HEADS as u64).collect();
        let mut images = vec![0.0; out.len() * HEADS];
        let mut triples = labels.is_some().then(|| vec![0; indices.len()]);
        fill_whole(&self.whole, &of, &mut images, triples.as_deref_mut());
        let channel = |i: usize| (indices[i] % HEADS as u64) as usize;
        let size = out.len() / indices.len().max(1);
        for (i, item) in out.chunks_exact_mut(size.max(1)).enumerate() {
            let image = &images[i * size * HEADS..][..size * HEADS];
            item.iter_mut().zip(image.chunks_exact(HEADS)).for_each(|(v, pixel)| *v = pixel[channel(i)]);
        }
        if let (Some(labels), Some(triples)) = (labels, triples) {
            for (i, label) in labels.iter_mut().enumerate() {
                let place = self.classes.pow((HEADS - 1 - channel(i)) as u32) as i32;
                *label = triples[i] / place % self.classes as i32;
            }
        }
    }
}

/// An extractor of single channels on images of three: features one after the other, a head a channel.
pub struct PerChannel {
    inner: Box<dyn Extractor>,
    name: String,
    shape: Vec<usize>,
}

impl PerChannel {
    /// On the channels of a stack; one that takes whole images stays as it is.
    pub fn boxed(inner: Box<dyn Extractor>, stack: &Stack) -> Box<dyn Extractor> {
        if inner.shape() == stack.shape {
            return inner;
        }
        let name = format!("{} of each channel", inner.name());
        // Where the sides differ, the shapes do too, which the caller refuses.
        let shape = [&inner.shape()[..inner.shape().len() - 1], &[HEADS]].concat();
        Box::new(Self { inner, name, shape })
    }
}

impl Extractor for PerChannel {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        self.inner.hash()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions() * HEADS
    }

    fn classes(&self) -> Option<usize> {
        self.inner.classes()
    }

    fn heads(&self) -> usize {
        HEADS
    }

    fn accuracy(&self) -> Option<f64> {
        self.inner.accuracy()
    }

    fn asked_of(&self) -> Option<AskedOf> {
        self.inner.asked_of()
    }

    fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error> {
        let pixels: usize = self.shape[..2].iter().product();
        let mut apart = Vec::with_capacity(samples.len());
        for image in samples.chunks_exact(pixels * HEADS) {
            for channel in 0..HEADS {
                apart.extend(image.iter().skip(channel).step_by(HEADS));
            }
        }
        // A sample's channels follow each other, and so do what is made of them.
        self.inner.extract(&apart)
    }
}
