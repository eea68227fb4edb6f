//! A document that several commands write, each its own sections.

/// Puts a section, which begins with `## ` and its title, in place of the one of that title, or at the end.
#[must_use]
pub fn put(document: &str, section: &str) -> String {
    let title = title(section);
    let mut sections = sections(document);
    match sections.iter_mut().skip(1).find(|there| self::title(there) == title) {
        Some(there) => *there = section,
        None => sections.push(section),
    }
    let parts: Vec<&str> = sections.iter().map(|section| section.trim_end()).collect();
    parts.join("\n\n") + "\n"
}

/// A document in place of an older one, of which the sections stay that the new one has not.
#[must_use]
pub fn renew(old: &str, new: &str) -> String {
    let written: Vec<&str> = sections(new).into_iter().skip(1).map(title).collect();
    let others = sections(old).into_iter().skip(1).filter(|section| !written.contains(&title(section)));
    others.fold(new.to_owned(), |document, section| put(&document, section))
}

/// What is before the first section, and the sections.
fn sections(document: &str) -> Vec<&str> {
    let starts = document.match_indices("\n## ").map(|(at, _)| at + 1);
    let ends: Vec<usize> = starts.chain([document.len()]).collect();
    let mut start = 0;
    ends.into_iter().map(|end| &document[std::mem::replace(&mut start, end)..end]).collect()
}

fn title(section: &str) -> &str {
    section.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# All\n\nhead\n\n## One\n\n1\n\n### Sub\n\n## Two\n\n2\n";

    #[test]
    fn a_section_takes_the_place_of_its_like() {
        assert_eq!(put(OLD, "## One\n\nnew\n"), "# All\n\nhead\n\n## One\n\nnew\n\n## Two\n\n2\n");
        assert_eq!(put(OLD, "## Three\n\n3"), format!("{OLD}\n## Three\n\n3\n"));
    }

    #[test]
    fn a_document_that_is_written_anew_keeps_what_others_wrote() {
        assert_eq!(
            renew(OLD, "# All\n\n## Two\n\nnew\n"),
            "# All\n\n## Two\n\nnew\n\n## One\n\n1\n\n### Sub\n"
        );
        assert_eq!(renew("", "# All\n"), "# All\n");
    }
}
