//! The words of one line after the first.

use crate::error::suggestion;
use crate::init::Init;
use crate::layers::{Activation, Padding};

/// Largest size a line may give: sizes above are mistakes, and their products would overflow.
pub const MAX_SIZE: usize = 1 << 24;

/// Arguments of a layer word. Each is taken once; what is left at the end is unknown and an error.
pub struct Arguments<'a> {
    usage: &'static str,
    positional: Vec<&'a str>,
    /// `name=value`.
    options: Vec<(&'a str, &'a str)>,
    /// Words that were asked for, to suggest when one is unknown.
    known: Vec<&'static str>,
}

impl<'a> Arguments<'a> {
    /// From the words after the layer word.
    ///
    /// # Errors
    /// If an option is given twice.
    pub fn new(usage: &'static str, words: &[&'a str]) -> Result<Self, String> {
        let mut out = Self { usage, positional: Vec::new(), options: Vec::new(), known: Vec::new() };
        for word in words {
            match word.split_once('=') {
                None => out.positional.push(word),
                Some((name, _)) if out.options.iter().any(|o| o.0 == name) => {
                    return Err(format!("`{name}` is given twice"));
                }
                Some(option) => out.options.push(option),
            }
        }
        Ok(out)
    }

    /// Reads a size from 1 to 2^24.
    fn read_size(&self, what: &str, text: &str, least: usize) -> Result<usize, String> {
        let range = format!("from {least} to {MAX_SIZE}");
        match text.parse::<usize>() {
            Ok(n) if (least..=MAX_SIZE).contains(&n) => Ok(n),
            Ok(n) => Err(format!("{what} must be {range}, got {n}")),
            Err(_) => {
                Err(format!("{what} must be a whole number {range}, got `{text}`; usage: `{}`", self.usage))
            }
        }
    }

    /// The next number before the words, e.g. the units of a dense layer.
    pub fn size(&mut self, what: &'static str) -> Result<usize, String> {
        match self.positional.first().copied() {
            Some(word) if !word.starts_with(char::is_alphabetic) => {
                self.positional.remove(0);
                self.read_size(what, word, 1)
            }
            _ => Err(format!("{what} is missing; usage: `{}`", self.usage)),
        }
    }

    /// As [`Arguments::size`], or nothing where no number follows.
    pub fn optional_size(&mut self, what: &'static str) -> Result<Option<usize>, String> {
        match self.positional.first() {
            Some(word) if !word.starts_with(char::is_alphabetic) => self.size(what).map(Some),
            _ => Ok(None),
        }
    }

    /// All numbers that follow.
    pub fn sizes(&mut self, what: &'static str) -> Result<Vec<usize>, String> {
        let mut out = vec![self.size(what)?];
        while let Some(next) = self.optional_size(what)? {
            out.push(next);
        }
        Ok(out)
    }

    /// The next number before the words, as a real one, or nothing where none follows.
    pub fn optional_real(&mut self, what: &'static str) -> Result<Option<f64>, String> {
        match self.positional.first().copied() {
            Some(word) if !word.starts_with(char::is_alphabetic) => {
                self.positional.remove(0);
                read_real(what, word).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The next word if it is one of `choices`.
    pub fn choice(&mut self, what: &'static str, choices: &[&'static str]) -> Result<&'static str, String> {
        match self.positional.first().copied() {
            Some(word) => match choices.iter().find(|c| **c == word) {
                Some(found) => {
                    self.positional.remove(0);
                    Ok(found)
                }
                None => Err(format!("`{word}` is no {what}; {}", suggestion(word, choices.iter().copied()))),
            },
            None => Err(format!("{what} is missing; usage: `{}`", self.usage)),
        }
    }

    fn take_option(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        let at = self.options.iter().position(|o| o.0 == name)?;
        Some(self.options.remove(at).1)
    }

    /// The option `name=N`, at least `least`, or its default.
    pub fn size_option(&mut self, name: &'static str, least: usize, default: usize) -> Result<usize, String> {
        match self.take_option(name) {
            Some(text) => self.read_size(name, text, least),
            None => Ok(default),
        }
    }

    /// The option `name=X`, or its default.
    pub fn real_option(&mut self, name: &'static str, default: f64) -> Result<f64, String> {
        self.take_option(name).map_or(Ok(default), |text| read_real(name, text))
    }

    /// `pad=N`, `pad=same` or `pad=valid`.
    pub fn padding(&mut self) -> Result<Padding, String> {
        match self.take_option("pad") {
            None | Some("valid") => Ok(Padding::Valid),
            Some("same") => Ok(Padding::Same),
            Some(text) => match text.parse::<usize>() {
                Ok(_) => Ok(Padding::Each(self.read_size("pad", text, 0)?)),
                Err(_) => {
                    Err(format!("`pad={text}` is not understood; write `pad=1`, `pad=same` or `pad=valid`"))
                }
            },
        }
    }

    /// `init=...`, or the default.
    pub fn init(&mut self, default: Init) -> Result<Init, String> {
        self.take_option("init").map_or(Ok(default), |text| Init::parse(text).map_err(|e| e.to_string()))
    }

    /// Whether the word `name` is there.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.known.push(name);
        match self.positional.iter().position(|w| *w == name) {
            Some(at) => {
                self.positional.remove(at);
                true
            }
            None => false,
        }
    }

    /// The activation, if one is named: `relu`, `leaky_relu=0.2`.
    pub fn activation(&mut self) -> Result<Activation, String> {
        self.known.extend(Activation::ALL.iter().map(|a| a.name()));
        let is_one = |word: &str| Activation::ALL.iter().any(|a| a.name() == word);
        let mut found = Vec::new();
        if let Some(at) = self.positional.iter().position(|w| is_one(w)) {
            found.push(self.positional.remove(at).to_string());
        }
        if let Some(at) = self.options.iter().position(|o| is_one(o.0)) {
            let (name, value) = self.options.remove(at);
            found.push(format!("{name}={value}"));
        }
        match &found[..] {
            [] => Ok(Activation::None),
            [one] => Activation::parse(one).map_err(|e| e.to_string()),
            [one, two, ..] => {
                Err(format!("two activations, `{one}` and `{two}`: put the second on a line of its own"))
            }
        }
    }

    /// Everything must have been taken.
    ///
    /// # Errors
    /// Names the first argument that is left, the nearest known one and the usage.
    pub fn finish(self) -> Result<(), String> {
        let left = self.options.first().map(|o| o.0).or(self.positional.first().copied());
        match left {
            None => Ok(()),
            Some(word) if self.known.contains(&word) && self.options.iter().any(|o| o.0 == word) => {
                Err(format!("`{word}` takes no value; usage: `{}`", self.usage))
            }
            Some(word) if self.known.contains(&word) => {
                Err(format!("`{word}` does not fit here; usage: `{}`", self.usage))
            }
            Some(word) if !word.starts_with(char::is_alphabetic) => {
                Err(format!("`{word}` is one number too many; usage: `{}`", self.usage))
            }
            Some(word) => {
                let hint = match crate::error::nearest(word, self.known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? "),
                    None => String::new(),
                };
                Err(format!("`{word}` is unknown; {hint}usage: `{}`", self.usage))
            }
        }
    }
}

fn read_real(what: &str, text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("{what} must be a finite number, got `{text}`")),
    }
}
