//! Holds the documents to the checkout: every file and heading that they link to exists, and every address that they
//! name is one. `source.rs#a_name` is a test of that name in a source.

mod markdown;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;
use markdown::{Page, Target};

/// Folders with nothing written by us.
const FOREIGN: [&str; 3] = [".git", "node_modules", "target"];

/// Checks every Markdown file of the checkout; returns how many links were followed.
pub(crate) fn check() -> Result<u32> {
    let root = workspace::root();
    let mut pages = HashMap::new();
    for path in documents(&root)? {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", workspace::show(&path)))?;
        pages.insert(path, Page::read(&text));
    }
    let mut followed = 0;
    let mut faults = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            followed += 1;
            if let Some(fault) = fault(path, link, &pages) {
                faults.push(format!("{} links to {link}: {fault}", workspace::show(path)));
            }
        }
    }
    if !faults.is_empty() {
        faults.sort();
        bail!("{}", faults.join("\n"));
    }
    eprintln!("{followed} links of {} documents followed", pages.len());
    Ok(followed)
}

/// What is wrong with a link of a document.
fn fault(from: &Path, link: &str, pages: &HashMap<PathBuf, Page>) -> Option<&'static str> {
    let (file, anchor) = match Target::of(link) {
        Target::Elsewhere => return None,
        Target::Malformed => return Some("it is no address"),
        Target::Here { file, anchor } => (file, anchor),
    };
    let path = match file {
        "" => from.to_owned(),
        file => resolve(from.parent()?, file),
    };
    if !path.exists() {
        return Some("there is no such file");
    }
    if let Some(test) = anchor.filter(|_| path.extension().is_some_and(|extension| extension == "rs")) {
        let names = |source: String| {
            source.contains(&format!("\"{test}\"")) || source.contains(&format!("fn {test}("))
        };
        let is_there = std::fs::read_to_string(&path).is_ok_and(names);
        return (!is_there).then_some("the source has no such test");
    }
    let page = pages.get(&path);
    let is_there = anchor.is_none_or(|anchor| page.is_none_or(|page| page.anchors.contains(anchor)));
    (!is_there).then_some("the document has no such heading")
}

/// A path without `.` and `..`, so that it is the one that documents are known by.
fn resolve(folder: &Path, file: &str) -> PathBuf {
    let mut path = folder.to_owned();
    for part in file.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}

fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        let entries = entries.with_context(|| format!("listing {}", workspace::show(&folder)))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_foreign = path.file_name().is_some_and(|name| FOREIGN.iter().any(|known| name == *known));
            match path.is_dir() {
                true if is_foreign => {}
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => found.push(path),
                false => {}
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(link: &str, expected: Option<&str>) {
        let root = workspace::root();
        let pages = HashMap::from([
            (root.join("README.md"), Page::read("# One\n## Two words\n")),
            (root.join("docs/lanes.md"), Page::read("# Lanes\n")),
        ]);
        assert_eq!(fault(&root.join("docs/lanes.md"), link, &pages), expected, "{link}");
    }

    #[test]
    fn files_and_headings_are_looked_for_from_where_the_link_stands() {
        check("../README.md", None);
        check("../README.md#two-words", None);
        check("#lanes", None);
        check("../Cargo.toml", None);
        check("images/dashboard.png", None);
        check("README.md", Some("there is no such file"));
        check("../README.md#three", Some("the document has no such heading"));
        check("#two-words", Some("the document has no such heading"));
        check("../xtask/src/docs.rs#addresses_elsewhere_have_a_form", None);
        check("../xtask/src/docs.rs#addresses_elsewhere", Some("the source has no such test"));
    }

    #[test]
    fn every_document_of_the_checkout_leads_somewhere() {
        super::check().expect("no dead link");
    }

    #[test]
    fn addresses_elsewhere_have_a_form() {
        check("https://example.org/a?b#c", None);
        check("https://", Some("it is no address"));
    }
}
