//! A number that may change over the run, as written in a recipe.

use ganymede_nn::schedule::Course;
use ganymede_nn::{Progress, Schedule};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A number, or a schedule such as `"cosine 5e-4 -> 1e-4"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    text: String,
    schedule: Schedule,
}

impl Scheduled {
    /// The same value throughout.
    pub fn constant(value: f64) -> Self {
        Self { text: value.to_string(), schedule: Schedule::constant(value) }
    }

    /// Parses a number or a schedule.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_string(), schedule: Schedule::parse(text).map_err(|e| e.to_string())? })
    }

    /// Value after `images` of `total`.
    pub fn at(&self, images: u64, total: u64) -> f64 {
        self.schedule.at(Progress { images, total })
    }

    /// The same course at `factor` times its values.
    pub fn scaled(&self, factor: f64) -> Self {
        let schedule = self.schedule.scaled(factor);
        Self { text: schedule.to_string(), schedule }
    }

    /// Bounds of the values it takes: the ends of its course, and 0 where a warm-up begins there. A run too short for
    /// its course, or a warm-up longer than that, may stay inside.
    pub fn range(&self) -> (f64, f64) {
        let (from, to) = match self.schedule.course {
            Course::Constant(value) => (value, value),
            Course::Linear { from, to } | Course::Exponential { from, to } | Course::Cosine { from, to } => {
                (from, to)
            }
        };
        let start = if self.schedule.warmup > 0.0 { 0.0 } else { from };
        (from.min(to).min(start), from.max(to).max(start))
    }
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Scheduled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<f64>() {
            Ok(number) => serializer.serialize_f64(number),
            Err(_) => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for Scheduled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Scheduled;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a schedule such as \"cosine 5e-4 -> 1e-4\"")
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Scheduled, E> {
                if v.is_finite() { Ok(Scheduled::constant(v)) } else { Err(E::custom("must be finite")) }
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Scheduled, E> {
                Ok(Scheduled::constant(v as f64))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Scheduled, E> {
                Ok(Scheduled::constant(v as f64))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Scheduled, E> {
                Scheduled::parse(v).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
