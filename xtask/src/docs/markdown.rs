//! What a Markdown text links to, and what can be linked to in it. Pure.

use std::collections::{HashMap, HashSet};

/// A document as far as links go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Targets of its links, as written.
    pub(super) links: Vec<String>,
    /// What may follow a `#`: its headings, as GitHub calls them.
    pub(super) anchors: HashSet<String>,
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut times: HashMap<String, usize> = HashMap::new();
        for line in prose(text) {
            if let Some(heading) = heading(line) {
                let slug = slug(heading);
                let seen = times.entry(slug.clone()).or_insert(0);
                page.anchors.insert(if *seen == 0 { slug } else { format!("{slug}-{seen}") });
                *seen += 1;
            }
            page.links.extend(links(line));
        }
        page
    }
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// To a file of the checkout, none for the document itself, and a heading in it.
    Here { file: &'a str, anchor: Option<&'a str> },
    /// To an address of a sound form.
    Elsewhere,
    /// To what is neither.
    Malformed,
}

impl<'a> Target<'a> {
    pub(super) fn of(link: &'a str) -> Self {
        if let Some((scheme, rest)) = link.split_once("://") {
            return match ["http", "https"].contains(&scheme) && is_address(rest) {
                true => Self::Elsewhere,
                false => Self::Malformed,
            };
        }
        if let Some(mailbox) = link.strip_prefix("mailto:") {
            let is_sound = mailbox.split_once('@').is_some_and(|(who, at)| !who.is_empty() && is_host(at));
            return if is_sound { Self::Elsewhere } else { Self::Malformed };
        }
        match link.split_once('#') {
            _ if link.is_empty() || link.starts_with('/') || link.contains(':') => Self::Malformed,
            Some((file, anchor)) => Self::Here { file, anchor: Some(anchor) },
            None => Self::Here { file: link, anchor: None },
        }
    }
}

/// What follows `https://`.
fn is_address(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    is_host(host)
        && is_port
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte))
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label)
}

/// The lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fence: Option<&str> = None;
    text.lines().filter(move |line| {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return true,
            (Some(_), _) => {}
        }
        false
    })
}

fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    ((1..=6).contains(&level) && text.starts_with(' ')).then(|| text.trim())
}

/// A heading as GitHub calls it: letters, digits, `-` and `_`, in lower case, spaces as hyphens.
fn slug(heading: &str) -> String {
    let mut shown = String::new();
    let mut rest = heading;
    // Of a link its text is shown.
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    };
    shown.to_lowercase().chars().filter_map(kept).collect()
}

/// The targets of a line's links and pictures.
fn links(line: &str) -> Vec<String> {
    // What is between backticks is no link.
    let prose: String = line.split('`').step_by(2).collect();
    let ends = |rest: &str| rest.split([')', ' ', '"']).next().map(str::to_owned);
    let marks = ["](", "href=\"", "src=\""];
    marks.iter().flat_map(|mark| prose.split(mark).skip(1).filter_map(ends).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(Page::read(text).links, expected);
    }

    #[test]
    fn links_and_pictures_are_followed() {
        check(
            "see [the map](ARCHITECTURE.md), [`why`](docs/why.md#cookies) and ![it](a.png \"title\")",
            &["ARCHITECTURE.md", "docs/why.md#cookies", "a.png"],
        );
        check("<a href=\"x.md\"><img src=\"y.png\"></a>", &["x.md", "y.png"]);
    }

    #[test]
    fn code_holds_no_links() {
        check("`[a](b.md)`\n```sh\n[c](d.md)\n```\n~~~\n```\n[e](f.md)\n~~~\n[g](h.md)", &["h.md"]);
    }

    #[test]
    fn headings_are_called_as_on_github() {
        let page = Page::read(
            "# A lane's `way`, (on)\n## [Words](x.md) here\n## 泳道 是什么\n### Same\n### Same\n#no\n",
        );
        let expected = ["a-lanes-way-on", "words-here", "泳道-是什么", "same", "same-1"];
        // The link's opening bracket is dropped like any other sign.
        assert_eq!(page.anchors, expected.map(str::to_owned).into());
    }

    #[track_caller]
    fn leads(link: &str, expected: &Target<'_>) {
        assert_eq!(Target::of(link), *expected, "{link}");
    }

    #[test]
    fn a_target_is_a_file_an_address_or_a_mistake() {
        leads("a.md", &Target::Here { file: "a.md", anchor: None });
        leads("#b", &Target::Here { file: "", anchor: Some("b") });
        for sound in
            ["https://example.org", "http://localhost:8900/x", "https://a.b/c%20d?e=f#g", "mailto:a@b.c"]
        {
            leads(sound, &Target::Elsewhere);
        }
        for faulty in
            ["https://", "https://a..b/", "https://a.b:port/", "htps://a.b/", "mailto:a", "/etc", "", "a:b"]
        {
            leads(faulty, &Target::Malformed);
        }
    }
}
