//! Holds the documents to the checkout: every file they link to exists.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Checks every Markdown file of the checkout's root and `docs/`; returns how many links were followed.
pub(crate) fn check() -> Result<u32> {
    let root = workspace::root();
    let mut followed = 0;
    let mut dead = Vec::new();
    for document in documents(&root)? {
        let text = std::fs::read_to_string(&document)
            .with_context(|| format!("reading {}", workspace::show(&document)))?;
        let folder = document.parent().unwrap_or(&root);
        for link in links(&text) {
            followed += 1;
            if !folder.join(link).exists() {
                dead.push(format!("{} links to {link}, which is not there", workspace::show(&document)));
            }
        }
    }
    if !dead.is_empty() {
        bail!("{}", dead.join("\n"));
    }
    eprintln!("{followed} links to files followed");
    Ok(followed)
}

fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("docs")];
    let is_markdown = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    found.extend(entries(root)?.into_iter().filter(|path| is_markdown(path)));
    while let Some(folder) = folders.pop().filter(|folder| folder.is_dir()) {
        for path in entries(&folder)? {
            match path.is_dir() {
                true => folders.push(path),
                false if is_markdown(&path) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// The files that a Markdown text links to: `[text](path)`, without web addresses and without anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
}

#[cfg(test)]
mod tests {
    use super::links;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(links(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_link_to_a_file_is_followed() {
        check(
            "see [the map](ARCHITECTURE.md) and [why](docs/why.md#cookies)",
            &["ARCHITECTURE.md", "docs/why.md"],
        );
    }

    #[test]
    fn web_addresses_and_anchors_are_not_files() {
        check("[a](https://example.org/x) [b](#below) [c](mailto:a@example.org)", &[]);
    }
}
