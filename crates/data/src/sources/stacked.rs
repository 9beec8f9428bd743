use crate::{
    dataset::{ContentHash, Dataset, Items},
    error::DataError,
    random::{Draws, Stream},
    source::{OpenOptions, Source, Split, open},
    spec::Spec,
};

/// Three grey images as the channels of one.
pub struct Stacked;

const PREFIX: &str = "stacked:";

/// Images in a set unless it says otherwise.
const LENGTH: u64 = 1_000_000;

/// The most images: the order of one epoch takes 8 bytes an image.
const MAX_LENGTH: u64 = 1 << 28;

/// The most classes of the stacked set.
const MAX_CLASSES: usize = 1 << 20;

/// Raised when the same set is stacked otherwise.
const VERSION: u32 = 1;

impl Source for Stacked {
    fn name(&self) -> &'static str {
        "stacked"
    }

    fn doc(&self) -> &'static str {
        "Three grey images of another set as red, green and blue, labelled 100 a + 10 b + c where that set has ten \
         classes: 1000 modes to find (StackedMNIST). A set with parameters of its own stands in brackets: \
         stacked:(mnist/?classes=0,1)."
    }

    fn example(&self) -> &'static str {
        "stacked:mnist/"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[("length", "how many images (1000000), image i the same three whatever the length")]
    }

    fn embedded(&self) -> bool {
        false
    }

    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        spec.base().starts_with(PREFIX)
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        let refuse = |reason: String| DataError::Stacked { spec: spec.text().to_owned(), reason };
        let length = spec.count("length", MAX_LENGTH)?.unwrap_or(LENGTH);
        let named = spec.base().strip_prefix(PREFIX).unwrap_or_default();
        let bracketed = named.strip_prefix('(').and_then(|named| named.strip_suffix(')'));
        let named = bracketed.unwrap_or(named);
        if named.is_empty() {
            return Err(refuse("name the set to stack after the colon, e.g. stacked:mnist/".to_owned()));
        }
        let shape = options.shape.map(|[height, width, _]| [height, width, 1]);
        let inner = open(named, &OpenOptions { shape, ..*options })?;
        let &[height, width, 1] = inner.shape() else {
            return Err(refuse(format!(
                "stacks grey images, and those of {named} have shape {:?}: choose a grey set (pictures: \
                 stacked:(FOLDER?channels=1))",
                inner.shape()
            )));
        };
        if inner.is_empty() {
            return Err(refuse(format!("{named} has no items")));
        }
        let stacked = |names: &[String]| names_of_stacks(names).map(|triples| (names.len(), triples));
        let classes = inner.classes().map(stacked).transpose().map_err(refuse)?;
        let stream = match options.split {
            Split::Train => Stream::StackedTrain,
            Split::Test => Stream::StackedTest,
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"stacked");
        hasher.update(&VERSION.to_le_bytes());
        hasher.update(&(stream as u32).to_le_bytes());
        hasher.update(&length.to_le_bytes());
        hasher.update(&inner.hash().0);
        let hash = ContentHash(hasher.finalize().into());
        let reading = inner.reading().clone();
        let items = Stacks { inner, stream, length };
        let set = Dataset::new(spec.text(), &[height, width, 3], hash, Box::new(items)).with_reading(reading);
        Ok(match classes {
            Some((classes, names)) => set.with_classes(names).with_channel_classes(classes),
            None => set,
        })
    }
}

/// `012` of `0`, `1` and `2`; longer names with hyphens between.
fn names_of_stacks(names: &[String]) -> Result<Vec<String>, String> {
    if names.len().pow(3) > MAX_CLASSES {
        return Err(format!(
            "{} classes make {} of three, {MAX_CLASSES} is the most: choose some, e.g. \
             stacked:(SET?classes=0,1,2)",
            names.len(),
            (names.len() as u128).pow(3)
        ));
    }
    let between = if names.iter().all(|name| name.chars().count() == 1) { "" } else { "-" };
    let triple = |i: usize| {
        let [a, b, c] = digits(i, names.len()).map(|digit| &names[digit]);
        format!("{a}{between}{b}{between}{c}")
    };
    Ok((0..names.len().pow(3)).map(triple).collect())
}

/// The three digits of `number` in a base, the highest first.
fn digits(number: usize, base: usize) -> [usize; 3] {
    [number / (base * base), number / base % base, number % base]
}

/// Image i is made of three items that are drawn independently, with repetition, by i alone.
struct Stacks {
    inner: Dataset,
    stream: Stream,
    length: u64,
}

impl Stacks {
    /// Where the channels of these images stand in the inner set, three an image.
    fn places(&self, indices: &[u64]) -> Vec<u64> {
        // Of an endless set all that has an index.
        let items = self.inner.len().unwrap_or(u64::MAX);
        let three = |&index: &u64| {
            let mut draws = Draws::new(0, self.stream, index);
            [0; 3].map(|_| draws.below(items))
        };
        indices.iter().flat_map(three).collect()
    }

    /// 100 a + 10 b + c, in the base of the inner set's classes.
    fn combine(&self, inner: &[i32], labels: &mut [i32]) {
        let base = self.inner.classes().map_or(0, <[String]>::len) as i32;
        for (label, three) in labels.iter_mut().zip(inner.chunks_exact(3)) {
            *label = (three[0] * base + three[1]) * base + three[2];
        }
    }
}

impl Items for Stacks {
    fn count(&self) -> Option<u64> {
        Some(self.length)
    }

    fn held_bytes(&self) -> u64 {
        self.inner.held_bytes()
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        let pixels = self.inner.elements();
        let places = self.places(indices);
        let mut three = vec![0.0; 3 * pixels];
        let mut known = vec![0; places.len()];
        for (i, (places, item)) in places.chunks_exact(3).zip(out.chunks_exact_mut(3 * pixels)).enumerate() {
            let known = labels.is_some().then_some(&mut known[3 * i..][..3]);
            let filled = self.inner.fill(places, &mut three, known);
            debug_assert!(filled.is_ok(), "places lie within the set");
            for (at, pixel) in item.chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&[three[at], three[pixels + at], three[2 * pixels + at]]);
            }
        }
        if let Some(labels) = labels {
            self.combine(&known, labels);
        }
    }

    fn labels(&self, indices: &[u64], labels: &mut [i32]) -> bool {
        let Ok(known) = self.inner.labels(&self.places(indices)) else { return false };
        self.combine(&known, labels);
        true
    }
}
