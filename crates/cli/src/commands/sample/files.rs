//! The files of samples that are written one by one.

use anyhow::{Context, bail};
use ganymede::Recipe;
use ganymede::sampler::Asked;
use ganymede_data::is_read;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Which file each sample goes to: by number, in a folder a class where there are classes, as labelled pictures are read.
pub(super) struct Files {
    count: usize,
    digits: usize,
    asked: Asked,
    /// The folder of each class.
    folders: Option<Vec<String>>,
}

/// A class's name as that of a folder: what no file system, or not every one, has in a name becomes `%` and two digits, as
/// in an address.
fn folder(name: &str) -> String {
    let special = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        // A leading dot would hide the folder.
        if special(c) || (i == 0 && c == '.') {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// The folders of a run's classes: their names in the data, and their numbers where the run does not know the names, or two
/// would share a folder.
fn folders(classes: usize, names: &[String]) -> Vec<String> {
    let named: Vec<String> = names.iter().map(|name| folder(name)).collect();
    // Some file systems do not tell `A` from `a`.
    let distinct: HashSet<String> = named.iter().map(|name| name.to_lowercase()).collect();
    if named.len() == classes && distinct.len() == classes && !named.contains(&String::new()) {
        return named;
    }
    let width = classes.saturating_sub(1).to_string().len();
    (0..classes).map(|class| format!("{class:0width$}")).collect()
}

impl Files {
    /// Of `count` samples of a recipe.
    pub fn new(recipe: &Recipe, asked: Asked, count: usize) -> Self {
        let names = recipe.run.as_ref().map_or(&[][..], |run| &run.classes);
        let folders = recipe.data.classes.map(|classes| folders(classes, names));
        Self { count, digits: count.saturating_sub(1).to_string().len().max(5), asked, folders }
    }

    /// Folder and name of a sample's file, from the folder of all on; the folder is empty where there are no classes.
    pub fn of(&self, sample: usize) -> (&str, String) {
        let class = |folders: &[String]| self.asked.class(sample as u64, folders.len());
        let folder = self.folders.as_deref().map_or("", |folders| &folders[class(folders)]);
        (folder, format!("{sample:0width$}.png", width = self.digits))
    }

    /// Whether a file, from the folder of all on, is that of one of the samples.
    fn writes(&self, file: &Path) -> bool {
        let number =
            file.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<usize>().ok());
        number.filter(|number| *number < self.count).is_some_and(|number| {
            let (folder, name) = self.of(number);
            file == Path::new(folder).join(name)
        })
    }

    /// Refuses a folder with images that are none of these samples: who reads it later would take all for one set.
    ///
    /// # Errors
    /// There are some, or the folder cannot be read.
    pub fn refuse_others(&self, root: &Path) -> anyhow::Result<()> {
        let mut left = if root.is_dir() { vec![root.to_path_buf()] } else { Vec::new() };
        let (mut others, mut first) = (0u64, None::<PathBuf>);
        while let Some(folder) = left.pop() {
            let unread = || format!("{}: cannot read the folder", folder.display());
            for entry in std::fs::read_dir(&folder).with_context(unread)? {
                let entry = entry.with_context(unread)?;
                let path = entry.path();
                if entry.file_type().with_context(unread)?.is_dir() {
                    left.push(path);
                } else if is_read(&path) && !path.strip_prefix(root).is_ok_and(|file| self.writes(file)) {
                    others += 1;
                    first = first.filter(|first| *first < path).or(Some(path));
                }
            }
        }
        if let Some(first) = first {
            bail!(
                "{}: the folder holds {others} images that are none of these {} samples, such as {}: name another folder \
                 with --out, or empty this one",
                root.display(),
                self.count,
                first.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_folders_of_their_names() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(folders(2, &names(&["cat", "dog 2"])), ["cat", "dog 2"]);
        assert_eq!(folders(3, &names(&["a/b", "..", "c\\d:é"])), ["a%2Fb", "%2E.", "c%5Cd%3Aé"]);
        // Unknown, or not to be told apart: numbers.
        assert_eq!(folders(11, &[])[..2], ["00", "01"]);
        assert_eq!(folders(2, &names(&["Cat", "cat"])), ["0", "1"]);
        assert_eq!(folders(2, &names(&["", "cat"])), ["0", "1"]);
        assert_eq!(folders(2, &names(&["cat"])), ["0", "1"]);
    }
}
