//! The recipes that come with the binary: one file and one line each.

/// A recipe embedded in the binary.
pub struct Builtin {
    /// Name for `--recipe`.
    pub name: &'static str,
    /// The TOML text, as `ganymede recipes NAME` prints it.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Every recipe that comes with the binary.
        pub const BUILTIN: &[Builtin] =
            &[$(Builtin { name: $name, text: include_str!(concat!("../../recipes/", $name, ".toml")) }),*];
    };
}

builtin!(
    "r3-28",
    "dcgan28",
    "cdcgan28",
    "wgangp28",
    "residual28",
    "sg2-28",
    "r3-stacked",
    "r3-32",
    "r3-32-cond",
    "sngan32",
    "r3-64",
    "dcgan64",
    "sg2-64-ada",
    "fewshot-64",
    "mlp2d",
    "guide-dense",
    "guide-deconv",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn every_builtin_recipe_is_valid_and_documented() {
        let mut names = std::collections::HashSet::new();
        for builtin in BUILTIN {
            assert!(names.insert(builtin.name));
            let recipe = Recipe::builtin(builtin.name).unwrap();
            assert_eq!(recipe.name, builtin.name);
            assert!(recipe.about.len() > 20, "{} says nothing about itself", builtin.name);
            recipe.networks().unwrap();
        }
    }
}
