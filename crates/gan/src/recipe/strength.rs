//! The strength of a regularizer as a recipe gives it.

use super::Scheduled;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// As a recipe writes the rule.
pub const AUTO: &str = "auto";

/// A number, a schedule, or the rule that derives it from the size of images and batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Strength {
    /// By the regularizer's rule; a resolved recipe has the number in its place.
    Auto,
    /// As given.
    Given(Scheduled),
}

impl Strength {
    /// The number or schedule, if it is one.
    pub fn scheduled(&self) -> Option<&Scheduled> {
        match self {
            Strength::Auto => None,
            Strength::Given(scheduled) => Some(scheduled),
        }
    }
}

impl Serialize for Strength {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Strength::Auto => serializer.serialize_str(AUTO),
            Strength::Given(scheduled) => scheduled.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Strength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Strength;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, a schedule such as \"cosine 5e-4 -> 1e-4\", or \"auto\"")
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Strength, E> {
                if v.is_finite() {
                    Ok(Strength::Given(Scheduled::constant(v)))
                } else {
                    Err(E::custom("must be finite"))
                }
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Strength, E> {
                Ok(Strength::Given(Scheduled::constant(v as f64)))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Strength, E> {
                Ok(Strength::Given(Scheduled::constant(v as f64)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Strength, E> {
                if v == AUTO {
                    return Ok(Strength::Auto);
                }
                Scheduled::parse(v).map(Strength::Given).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
