//! Schedules: hyper-parameters as functions of the number of images seen.

use crate::error::{ParseError, suggestion};
use std::f64::consts::PI;
use std::fmt;

/// Where training stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images seen before this step.
    pub images: u64,
    /// Images the whole run will see.
    pub total: u64,
}

/// The course of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// One value.
    Constant(f64),
    /// A straight line.
    Linear {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// The same factor for the same number of images; both values have one sign.
    Exponential {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
    /// Half a period of a cosine: flat at both ends (Loshchilov, Hutter 2017, equation 5).
    Cosine {
        /// Value at the start.
        from: f64,
        /// Value at the end.
        to: f64,
    },
}

/// How long a course takes; afterwards its last value stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// A share of the run, above 0 and at most 1.
    Run(f64),
    /// A number of images.
    Images(f64),
}

/// A value over the run: a course, over a span, multiplied by a linear warm-up from zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The course.
    pub course: Course,
    /// How long it takes.
    pub span: Span,
    /// Images over which the value rises from zero; 0 for no warm-up.
    pub warmup: f64,
}

/// What a schedule looks like, for errors and help.
pub const EXAMPLES: &str = "`0.0002`, `linear 1 -> 0.1`, `cosine 5e-4 -> 1e-4`, `cosine 5e-4 -> 1e-4 over 2M`, \
                            `linear 2e-4 -> 0 over 50% warmup 10k`";

/// A form of schedule that [`Schedule::parse`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its first word, or that of the part it adds.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// One that can be read.
    pub example: &'static str,
    /// What it does, with its source.
    pub doc: &'static str,
}

impl Form {
    const fn new(name: &'static str, usage: &'static str, example: &'static str, doc: &'static str) -> Self {
        Self { name, usage, example, doc }
    }
}

/// The courses, and what may follow them.
pub const FORMS: &[Form] = &[
    Form::new("constant", "VALUE or constant VALUE", "2e-4", "the same throughout"),
    Form::new("linear", "linear FROM -> TO", "linear 1 -> 0.1", "a straight line over the run"),
    Form::new(
        "exponential",
        "exponential FROM -> TO",
        "exponential 1 -> 0.5 over 4M",
        "the same factor for the same number of images, as rates fall by a factor an epoch",
    ),
    Form::new(
        "cosine",
        "cosine FROM -> TO",
        "cosine 5e-4 -> 1e-4",
        "half a cosine over the run, flat at both ends (Loshchilov, Hutter 2017)",
    ),
    Form::new(
        "over",
        "SCHEDULE over IMAGES or over PERCENT%",
        "cosine 5e-4 -> 1e-4 over 50%",
        "over so many images (k and M are understood) or a share of the run, and constant from there",
    ),
    Form::new(
        "warmup",
        "SCHEDULE warmup IMAGES",
        "2e-4 warmup 10k",
        "multiplied by a factor that rises from 0 to 1 over so many images (Goyal and others 2017)",
    ),
];

impl Schedule {
    /// One value for the whole run.
    pub fn constant(value: f64) -> Self {
        Self { course: Course::Constant(value), span: Span::Run(1.0), warmup: 0.0 }
    }

    /// A straight line over the whole run.
    pub fn linear(from: f64, to: f64) -> Self {
        Self { course: Course::Linear { from, to }, span: Span::Run(1.0), warmup: 0.0 }
    }

    /// Half a cosine over the whole run.
    pub fn cosine(from: f64, to: f64) -> Self {
        Self { course: Course::Cosine { from, to }, span: Span::Run(1.0), warmup: 0.0 }
    }

    /// The same factor for the same number of images, over the whole run. Both values are of one sign and not 0.
    pub fn exponential(from: f64, to: f64) -> Self {
        Self { course: Course::Exponential { from, to }, span: Span::Run(1.0), warmup: 0.0 }
    }

    /// Over this many images instead of the whole run.
    pub fn over_images(mut self, images: f64) -> Self {
        self.span = Span::Images(images);
        self
    }

    /// Over this share of the run.
    pub fn over_fraction(mut self, fraction: f64) -> Self {
        self.span = Span::Run(fraction);
        self
    }

    /// Rising from zero over this many images.
    pub fn warmup(mut self, images: f64) -> Self {
        self.warmup = images;
        self
    }

    /// The same course at `factor` times its values.
    pub fn scaled(mut self, factor: f64) -> Self {
        self.course = match self.course {
            Course::Constant(value) => Course::Constant(factor * value),
            Course::Linear { from, to } => Course::Linear { from: factor * from, to: factor * to },
            Course::Exponential { from, to } => Course::Exponential { from: factor * from, to: factor * to },
            Course::Cosine { from, to } => Course::Cosine { from: factor * from, to: factor * to },
        };
        self
    }

    /// The value at `progress`.
    pub fn at(&self, progress: Progress) -> f64 {
        let images = progress.images as f64;
        let length = match self.span {
            Span::Run(fraction) => fraction * progress.total as f64,
            Span::Images(images) => images,
        };
        let t = if length > 0.0 { (images / length).clamp(0.0, 1.0) } else { 1.0 };
        let value = match self.course {
            Course::Constant(value) => value,
            // Weights that are exact at both ends.
            Course::Linear { from, to } => from * (1.0 - t) + to * t,
            Course::Exponential { from, to } if t < 1.0 => from * (to / from).powf(t),
            Course::Exponential { to, .. } => to,
            Course::Cosine { from, to } => {
                let done = 0.5 * (1.0 - (PI * t).cos());
                from * (1.0 - done) + to * done
            }
        };
        if self.warmup > 0.0 { value * (images / self.warmup).min(1.0) } else { value }
    }

    /// Reads `VALUE`, or `linear A -> B`, `exponential A -> B` or `cosine A -> B`, followed by `over N` images or `over N%` of the run and
    /// by `warmup N` images, each if wanted. Counts may end in k or M.
    ///
    /// # Errors
    /// If the text is not of this form or a number is not finite; the message shows examples.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let fail =
            |message: String| ParseError::new("a schedule", text, format!("{message}; examples: {EXAMPLES}"));
        let spaced = text.replace("->", " -> ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (course, mut rest): (Course, &[&str]) = match words[..] {
            [] => return Err(fail("it is empty".into())),
            [kind, ref rest @ ..] if kind.starts_with(char::is_alphabetic) => {
                const COURSES: [&str; 4] = ["linear", "exponential", "cosine", "constant"];
                if !COURSES.contains(&kind) {
                    let hint = suggestion(kind, COURSES);
                    return Err(fail(format!("`{kind}` is no course ({hint})")));
                }
                match rest {
                    [value, rest @ ..] if kind == "constant" => {
                        (Course::Constant(number(value).map_err(fail)?), rest)
                    }
                    [from, "->", to, rest @ ..] if kind != "constant" => {
                        let (from, to) = (number(from).map_err(fail)?, number(to).map_err(fail)?);
                        let course = match kind {
                            "linear" => Course::Linear { from, to },
                            "cosine" => Course::Cosine { from, to },
                            _ if from * to > 0.0 => Course::Exponential { from, to },
                            _ => return Err(fail(format!("no factor leads from {from} to {to}"))),
                        };
                        (course, rest)
                    }
                    _ => return Err(fail(format!("`{kind}` needs its values"))),
                }
            }
            [value, ref rest @ ..] => (Course::Constant(number(value).map_err(fail)?), rest),
        };
        let mut schedule = Self { course, span: Span::Run(1.0), warmup: 0.0 };
        while let [word, value, tail @ ..] = rest {
            let positive = |value: f64| {
                if value > 0.0 { Ok(value) } else { Err(fail(format!("`{word}` needs a number above 0"))) }
            };
            match (*word, value.strip_suffix('%')) {
                ("over", Some(percent)) => {
                    let fraction = positive(number(percent).map_err(fail)? / 100.0)?;
                    if fraction > 1.0 {
                        return Err(fail("a course cannot take more than 100% of the run".into()));
                    }
                    schedule.span = Span::Run(fraction);
                }
                ("over", None) => schedule.span = Span::Images(positive(number(value).map_err(fail)?)?),
                ("warmup", _) => schedule.warmup = positive(number(value).map_err(fail)?)?,
                _ => {
                    let hint = suggestion(word, ["over", "warmup"]);
                    return Err(fail(format!("`{word}` is not understood ({hint})")));
                }
            }
            rest = tail;
        }
        match rest {
            [] => Ok(schedule),
            [word, ..] => Err(fail(format!("`{word}` has no number after it"))),
        }
    }
}

/// A finite number, which may end in k (thousand) or M (million).
fn number(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    match digits.parse::<f64>() {
        Ok(value) if (value * unit).is_finite() => Ok(value * unit),
        _ => Err(format!("`{text}` is not a finite number")),
    }
}

impl fmt::Display for Schedule {
    /// As [`Schedule::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.course {
            Course::Constant(value) => write!(f, "{value}")?,
            Course::Linear { from, to } => write!(f, "linear {from} -> {to}")?,
            Course::Exponential { from, to } => write!(f, "exponential {from} -> {to}")?,
            Course::Cosine { from, to } => write!(f, "cosine {from} -> {to}")?,
        }
        match self.span {
            Span::Run(fraction) if fraction != 1.0 => write!(f, " over {}%", fraction * 100.0)?,
            Span::Run(_) => {}
            Span::Images(images) => write!(f, " over {images}")?,
        }
        if self.warmup > 0.0 {
            write!(f, " warmup {}", self.warmup)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(schedule: &Schedule, images: u64) -> f64 {
        schedule.at(Progress { images, total: 1000 })
    }

    #[test]
    fn courses_hit_their_ends_and_middles() {
        let linear = Schedule::linear(1.0, 0.1);
        assert_eq!([at(&linear, 0), at(&linear, 1000), at(&linear, 5000)], [1.0, 0.1, 0.1]);
        assert!((at(&linear, 250) - 0.775).abs() < 1e-15);
        let falling = Schedule::exponential(1.0, 0.25);
        assert_eq!([at(&falling, 0), at(&falling, 500), at(&falling, 1000)], [1.0, 0.5, 0.25]);
        let cosine = Schedule::cosine(5e-4, 1e-4);
        assert_eq!([at(&cosine, 0), at(&cosine, 1000)], [5e-4, 1e-4]);
        assert!((at(&cosine, 500) - 3e-4).abs() < 1e-18);
        // 1/4 of the way: (1 - cos 45 degrees) / 2 = .146447 of the difference.
        assert!((at(&cosine, 250) - (5e-4 - 4e-4 * 0.146_446_609_406_726_24)).abs() < 1e-18);
        assert_eq!(at(&Schedule::constant(2e-4), 777), 2e-4);
    }

    #[test]
    fn spans_and_warm_up_count_images() {
        let short = Schedule::linear(0.0, 10.0).over_images(100.0);
        assert_eq!([at(&short, 50), at(&short, 100), at(&short, 900)], [5.0, 10.0, 10.0]);
        let half = Schedule::linear(0.0, 10.0).over_fraction(0.5);
        assert_eq!([at(&half, 250), at(&half, 500)], [5.0, 10.0]);
        let warm = Schedule::constant(2.0).warmup(200.0);
        assert_eq!([at(&warm, 0), at(&warm, 50), at(&warm, 200), at(&warm, 900)], [0.0, 0.5, 2.0, 2.0]);
        assert_eq!(Schedule::linear(1.0, 3.0).at(Progress { images: 0, total: 0 }), 3.0);
    }

    #[test]
    fn a_scaled_schedule_is_scaled_everywhere() {
        let texts =
            ["2", "linear 1 -> 0.1", "exponential -1 -> -0.25", "cosine 1 -> 0.5 over 50% warmup 100"];
        for schedule in texts.map(|text| Schedule::parse(text).unwrap()) {
            let scaled = schedule.scaled(0.25);
            for images in [0, 50, 250, 900] {
                assert_eq!(at(&scaled, images), 0.25 * at(&schedule, images), "{schedule} at {images}");
            }
        }
    }

    #[test]
    fn texts_are_read_and_written_back() {
        for (text, expected) in [
            ("0.0002", Schedule::constant(2e-4)),
            ("constant 3", Schedule::constant(3.0)),
            ("cosine 5e-4 -> 1e-4", Schedule::cosine(5e-4, 1e-4)),
            ("linear 1->0.1", Schedule::linear(1.0, 0.1)),
            ("linear 0 -> 10k", Schedule::linear(0.0, 1e4)),
            ("cosine 1 -> 0 over 2M warmup 10k", Schedule::cosine(1.0, 0.0).over_images(2e6).warmup(1e4)),
            ("exponential 1 -> 0.5 over 4M", Schedule::exponential(1.0, 0.5).over_images(4e6)),
            ("linear 1 -> 0 over 25%", Schedule::linear(1.0, 0.0).over_fraction(0.25)),
        ] {
            let read = Schedule::parse(text).unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(Schedule::parse(&read.to_string()).unwrap(), expected, "{read}");
        }
    }

    #[test]
    fn every_form_has_an_example_that_reads_as_that_form() {
        for form in FORMS {
            let read = Schedule::parse(form.example).unwrap();
            let is = match form.name {
                "constant" => matches!(read.course, Course::Constant(_)),
                "linear" => matches!(read.course, Course::Linear { .. }),
                "exponential" => matches!(read.course, Course::Exponential { .. }),
                "cosine" => matches!(read.course, Course::Cosine { .. }),
                "over" => read.span != Span::Run(1.0),
                "warmup" => read.warmup > 0.0,
                other => panic!("{other} is not known here"),
            };
            assert!(is && form.usage.contains(form.name) && form.doc.len() > 10, "{}", form.name);
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_examples() {
        for (text, part) in [
            ("", "it is empty"),
            ("cosin 1 -> 2", "did you mean `cosine`?"),
            ("cosine 1", "`cosine` needs its values"),
            ("linear 1 -> x", "`x` is not a finite number"),
            ("nan", "is no course"),
            ("1e999", "not a finite number"),
            ("linear 1 -> 1e308M", "`1e308M` is not a finite number"),
            ("linear 1 -> 2 over", "`over` has no number after it"),
            ("linear 1 -> 2 over 0", "above 0"),
            ("linear 1 -> 2 over 150%", "more than 100%"),
            ("linear 1 -> 2 warmpu 10", "did you mean `warmup`?"),
        ] {
            let error = Schedule::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains("`linear 1 -> 0.1`"), "{error}");
        }
    }
}
