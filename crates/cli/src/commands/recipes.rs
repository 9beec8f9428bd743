use crate::args::Recipes;
use crate::say::say;
use ganymede::Recipe;
use ganymede::recipe::BUILTIN;
use std::process::ExitCode;

pub fn run(options: &Recipes) -> anyhow::Result<ExitCode> {
    if let Some(name) = &options.name {
        let recipe = Recipe::builtin(name)?;
        if options.json {
            say!("{}", serde_json::to_string(&recipe)?)?;
        } else if let Some(builtin) = BUILTIN.iter().find(|b| b.name == name) {
            say!("{}", builtin.text.trim_end())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for builtin in BUILTIN {
        let recipe = Recipe::builtin(builtin.name)?;
        if options.json {
            let line =
                serde_json::json!({"name": recipe.name, "about": recipe.about, "shape": recipe.data.shape});
            say!("{line}")?;
        } else {
            say!("{:<13} {}", recipe.name, recipe.about)?;
        }
    }
    if !options.json {
        say!("\n`ganymede recipes NAME` prints one; save it as a .toml file to make your own.")?;
    }
    Ok(ExitCode::SUCCESS)
}
