//! Codes: what a generator makes samples of.

use crate::checkpoint::write_atomically;
use crate::error::Error;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// Which of a generator's inputs codes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Latents `[dim]`, standard normals: what training draws.
    Latent,
    /// Styles `[layers, width]`, which a mapping network makes of latents (Karras, Laine, Aila 2019, StyleGAN, section 2).
    /// One for each layer that takes one, which need not be alike.
    Styles,
}

impl Space {
    /// Name of the tensor in a file of codes.
    fn name(self) -> &'static str {
        match self {
            Space::Latent => "latent",
            Space::Styles => "styles",
        }
    }
}

/// Name of the classes in a file of codes.
const CLASS: &str = "class";

/// Largest file that is taken for one of codes: 65,536 latents of 512 numbers and more.
const MAX_BYTES: u64 = 256 << 20;

/// Codes of one space, one a sample, with the class of each where the generator is told classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    space: Space,
    shape: Vec<usize>,
    values: Vec<f32>,
    classes: Option<Vec<usize>>,
}

impl Codes {
    /// From the values of all, one code after the other. `shape` is that of one.
    ///
    /// # Errors
    /// The values are no whole number of codes, there is not a class for each, or a value is not finite.
    pub fn new(
        space: Space,
        shape: &[usize],
        values: Vec<f32>,
        classes: Option<Vec<usize>>,
    ) -> Result<Self, Error> {
        let size: usize = shape.iter().product();
        let refuse = |why: String| Err(Error::Refused(format!("codes of shape {shape:?}: {why}")));
        if size == 0 || !values.len().is_multiple_of(size) {
            return refuse(format!("{} values are no whole number of them", values.len()));
        }
        let count = values.len() / size;
        if let Some(classes) = &classes
            && classes.len() != count
        {
            return refuse(format!("{count} of them, but {} classes", classes.len()));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return refuse(format!("number {} has a value that is not finite", at / size));
        }
        Ok(Self { space, shape: shape.to_vec(), values, classes })
    }

    /// None, of the kind of `self`.
    pub(crate) fn none_like(&self) -> Self {
        let classes = self.classes.is_some().then(Vec::new);
        Self { space: self.space, shape: self.shape.clone(), values: Vec::new(), classes }
    }

    /// Appends one; a class counts only where the others have one too.
    pub(crate) fn push(&mut self, code: &[f32], class: Option<usize>) {
        debug_assert_eq!(code.len(), self.width());
        self.values.extend_from_slice(code);
        if let Some(classes) = &mut self.classes {
            classes.push(class.unwrap_or(0));
        }
    }

    /// Which input of a generator they are.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Shape of one.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.values.len() / self.width()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers of one.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// All, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number `i`.
    pub fn code(&self, i: usize) -> &[f32] {
        &self.values[i * self.width()..(i + 1) * self.width()]
    }

    /// The class of number `i`, where they have classes.
    pub fn class(&self, i: usize) -> Option<usize> {
        self.classes.as_ref().map(|classes| classes[i])
    }

    /// The class of each, where they have classes.
    pub fn classes(&self) -> Option<&[usize]> {
        self.classes.as_deref()
    }

    /// Some of them.
    pub fn some(&self, range: std::ops::Range<usize>) -> Self {
        let mut out = self.none_like();
        for i in range {
            out.push(self.code(i), self.class(i));
        }
        out
    }

    /// These, then `more` of the same kind.
    ///
    /// # Errors
    /// They are of another kind.
    pub fn followed_by(mut self, more: &Codes) -> Result<Self, Error> {
        if (self.space, &self.shape, self.classes.is_some())
            != (more.space, &more.shape, more.classes.is_some())
        {
            return Err(Error::Refused(format!(
                "codes of two kinds: {} {:?} and {} {:?}",
                self.space.name(),
                self.shape,
                more.space.name(),
                more.shape
            )));
        }
        for i in 0..more.len() {
            self.push(more.code(i), more.class(i));
        }
        Ok(self)
    }

    /// The same with other classes.
    pub(super) fn with_classes(self, classes: Option<Vec<usize>>) -> Self {
        debug_assert!(classes.as_ref().is_none_or(|c| c.len() == self.len()));
        Self { classes, ..self }
    }

    /// Writes them as safetensors: `latent` `[n, dim]` or `styles` `[n, layers, width]`, f32, and `class` `[n]`, i32,
    /// where they have classes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let values: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let classes: Option<Vec<u8>> = self
            .classes
            .as_ref()
            .map(|classes| classes.iter().flat_map(|class| (*class as i32).to_le_bytes()).collect());
        let failed = |e: safetensors::SafeTensorError| Error::Refused(format!("{}: {e}", path.display()));
        let shape = [&[self.len()], &self.shape[..]].concat();
        let mut tensors =
            vec![(self.space.name(), TensorView::new(Dtype::F32, shape, &values).map_err(failed)?)];
        if let Some(classes) = &classes {
            let view = TensorView::new(Dtype::I32, vec![self.len()], classes).map_err(failed)?;
            tensors.push((CLASS, view));
        }
        let about = HashMap::from([("format".to_string(), "ganymede latents 1".to_string())]);
        let bytes = safetensors::serialize(tensors, Some(about)).map_err(failed)?;
        write_atomically(path, &bytes).map_err(Error::io(path, "write the latents"))
    }

    /// Reads what [`Codes::save`] wrote, or any safetensors with such tensors.
    ///
    /// # Errors
    /// The file cannot be read, or is none of codes; the message says what was expected.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let refuse = |why: String| {
            Error::Refused(format!(
                "{}: not a file of latents: {why}; expected safetensors with `latent` [n, dim] or `styles` [n, layers, \
                 width] in f32, as --project writes them",
                path.display()
            ))
        };
        let read = Error::io(path, "read the latents");
        let bytes = match std::fs::metadata(path) {
            Ok(about) if about.len() > MAX_BYTES => {
                return Err(refuse(format!("it has {} MiB", about.len() >> 20)));
            }
            Ok(_) => std::fs::read(path).map_err(read)?,
            Err(error) => return Err(read(error)),
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| refuse(e.to_string()))?;
        let found = [Space::Latent, Space::Styles]
            .into_iter()
            .find_map(|space| Some((space, file.tensor(space.name()).ok()?)));
        let Some((space, tensor)) = found else {
            let names: Vec<&str> = file.names().into_iter().take(4).collect();
            return Err(refuse(format!("it holds {names:?}")));
        };
        let rank = match space {
            Space::Latent => 2,
            Space::Styles => 3,
        };
        if tensor.dtype() != Dtype::F32 || tensor.shape().len() != rank {
            return Err(refuse(format!(
                "`{}` is {:?} of shape {:?}",
                space.name(),
                tensor.dtype(),
                tensor.shape()
            )));
        }
        let words = |data: &[u8]| -> Vec<[u8; 4]> {
            data.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect()
        };
        let values = words(tensor.data()).into_iter().map(f32::from_le_bytes).collect();
        let classes = match file.tensor(CLASS) {
            Ok(class) if class.dtype() == Dtype::I32 => {
                let class = words(class.data()).into_iter().map(i32::from_le_bytes);
                let class: Option<Vec<usize>> = class.map(|c| usize::try_from(c).ok()).collect();
                Some(class.ok_or_else(|| refuse("a class is below 0".into()))?)
            }
            Ok(class) => return Err(refuse(format!("`{CLASS}` is {:?}, not i32", class.dtype()))),
            Err(_) => None,
        };
        match Self::new(space, &tensor.shape()[1..], values, classes) {
            Ok(codes) if codes.is_empty() => Err(refuse("it holds none".into())),
            Ok(codes) => Ok(codes),
            Err(Error::Refused(why)) => Err(refuse(why)),
            Err(other) => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_a_file_and_other_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.safetensors");
        let latents = Codes::new(Space::Latent, &[3], vec![1.0, -2.5, 0.25, 4.0, 5.0, 6.0], None).unwrap();
        let styles = Codes::new(Space::Styles, &[2, 3], vec![0.5; 12], Some(vec![7, 0])).unwrap();
        for codes in [latents, styles] {
            codes.save(&path).unwrap();
            assert_eq!(Codes::load(&path).unwrap(), codes);
        }
        let written = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Codes::load(&path).unwrap_err().to_string()
        };
        assert!(refused(&written[..written.len() - 1]).contains("not a file of latents"));
        assert!(refused(b"latents").contains("not a file of latents"));
        let tensors = |name: &str, dtype, shape: Vec<usize>, data: &[u8]| {
            let view = TensorView::new(dtype, shape, data).unwrap();
            safetensors::serialize([(name, view)], None).unwrap()
        };
        assert!(refused(&tensors("weight", Dtype::F32, vec![1, 1], &[0; 4])).contains("[\"weight\"]"));
        assert!(refused(&tensors("latent", Dtype::I32, vec![1, 1], &[0; 4])).contains("I32"));
        assert!(refused(&tensors("latent", Dtype::F32, vec![1], &[0; 4])).contains("[1]"));
        assert!(refused(&tensors("latent", Dtype::F32, vec![0, 2], &[])).contains("none"));
        let nan = f32::NAN.to_le_bytes();
        assert!(refused(&tensors("latent", Dtype::F32, vec![1, 1], &nan)).contains("not finite"));
        std::fs::remove_file(&path).unwrap();
        assert!(Codes::load(&path).unwrap_err().to_string().contains("cannot read the latents"));
    }
}
