//! Built inputs, each in a directory named by a hash of everything that it was made from.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::error::{LabError, file};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Characters of the hash in a directory's name.
const KEY_DIGITS: usize = 16;

/// The cache of the user who runs us.
pub(super) struct Cache<'a> {
    root: PathBuf,
    pub(super) progress: &'a dyn Progress,
    pub(super) interrupt: &'a Interrupt,
    // One builder at a time; freed when dropped.
    _lock: File,
}

/// What an entry is made from.
pub(super) struct Recipe<'a> {
    /// A word, for people.
    pub(super) name: &'a str,
    /// What is being done, for people.
    pub(super) doing: &'a str,
    /// Everything that the result depends on.
    pub(super) made_from: &'a [&'a [u8]],
}

impl<'a> Cache<'a> {
    /// `canaryctl/lab` of the user's cache directory. Waits while another process builds.
    pub(super) fn of_user(progress: &'a dyn Progress, interrupt: &'a Interrupt) -> Result<Self, LabError> {
        let non_empty = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches =
            non_empty("XDG_CACHE_HOME").or_else(|| non_empty("HOME").map(|home| home.join(".cache")));
        let root = caches.unwrap_or_else(|| "/var/cache".into()).join("canaryctl").join("lab");
        std::fs::create_dir_all(&root).map_err(file("create", &root))?;
        let lock_path = root.join(".lock");
        let lock = File::create(&lock_path).map_err(file("create", &lock_path))?;
        if lock.try_lock().is_err() {
            progress.doing("inputs", "another lab is building them, waiting for it");
            lock.lock().map_err(file("lock", &lock_path))?;
        }
        Ok(Self { root, progress, interrupt, _lock: lock })
    }

    /// The entry of this recipe; `make` fills a new directory with it if there is none.
    pub(super) fn entry(
        &self,
        recipe: &Recipe<'_>,
        make: impl FnOnce(&Path) -> Result<(), LabError>,
    ) -> Result<PathBuf, LabError> {
        let entry = self.root.join(format!("{}-{}", recipe.name, key(recipe.made_from)));
        if entry.is_dir() {
            return Ok(entry);
        }
        self.interrupt.check()?;
        let started = Instant::now();
        self.progress.doing(recipe.name, recipe.doing);
        // Beside the entry, so that it appears whole or not at all.
        let scratch = tempfile::Builder::new().prefix(".making-").tempdir_in(&self.root);
        let scratch = scratch.map_err(file("create a directory in", &self.root))?;
        make(scratch.path())?;
        std::fs::rename(scratch.path(), &entry).map_err(file("write", &entry))?;
        self.progress.done(recipe.name, "built", started.elapsed());
        Ok(entry)
    }
}

/// Lengths go in too, so that no two lists of parts have one hash.
fn key(made_from: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in made_from {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chars().take(KEY_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn other_parts_have_another_key() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_eq!(key(&[b"ab"]), key(&[b"ab"]));
    }
}
