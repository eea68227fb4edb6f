//! The hosts file: a marked block of names at its end, and the file without it, byte for byte as it was.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use super::order::Entry;

/// Where the system looks.
pub(super) const FILE: &str = "/etc/hosts";

const BEGIN: &str = "# BEGIN canaryctl connect --tun";
/// What the first line says besides where the file did not end in a line's end.
const JOINED: &str = " (joined)";
const END: &str = "# END canaryctl connect --tun\n";
/// How many names a line has: some resolvers read no more than 1024 bytes of it.
const NAMES_MAX: usize = 3;

/// Has the file say these names, and nothing else of ours.
pub(super) fn put(file: &Path, entries: &[Entry]) -> io::Result<()> {
    // Links lead to where it is in truth.
    let file = fs::canonicalize(file)?;
    let before = fs::read(&file)?;
    let after = with(&without(&before), entries);
    if after == before { Ok(()) } else { write(&file, &after) }
}

/// The text with a block of these names, where there are some.
fn with(text: &[u8], entries: &[Entry]) -> Vec<u8> {
    let known = names(text);
    let mut block = String::new();
    for entry in entries {
        // What the file says itself counts.
        let own: Vec<&str> = entry
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| is_fit(name) && !known.contains(name))
            .collect();
        for names in own.chunks(NAMES_MAX) {
            block += &format!("{} {}\n", entry.address, names.join(" "));
        }
    }
    if block.is_empty() {
        return text.to_vec();
    }
    let is_joined = text.last().is_some_and(|last| *last != b'\n');
    let (gap, mark) = if is_joined { ("\n", JOINED) } else { ("", "") };
    let block = format!("{gap}{BEGIN}{mark}\n{block}{END}");
    [text, block.as_bytes()].concat()
}

/// The text without any block. Of one whose end somebody has removed only the first line goes: what follows may be theirs.
fn without(text: &[u8]) -> Vec<u8> {
    let is_begin = |line: &[u8]| line.starts_with(BEGIN.as_bytes());
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let (mut kept, mut left) = (Vec::with_capacity(text.len()), lines.as_slice());
    while let Some((line, rest)) = left.split_first() {
        left = rest;
        if !is_begin(line) {
            kept.extend_from_slice(line);
            continue;
        }
        if line.ends_with(format!("{JOINED}\n").as_bytes()) {
            kept.pop();
        }
        let end = rest.iter().take_while(|line| !is_begin(line)).position(|line| *line == END.as_bytes());
        left = end.map_or(rest, |end| &rest[end + 1..]);
    }
    kept
}

/// The names that lines of the file have.
fn names(text: &[u8]) -> Vec<&str> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines.filter_map(|line| line.split('#').next()).flat_map(|line| line.split_whitespace().skip(1)).collect()
}

/// Whether it is a host's name, and no more of the file than that.
fn is_fit(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    name != "localhost" && !name.is_empty() && name.bytes().all(is_of_name)
}

/// Writes a file anew, so that whoever reads it sees all or nothing; in place where another is mounted over it.
fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    let was = fs::metadata(file)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    let replaced =
        tempfile::Builder::new().prefix(".hosts-canaryctl-").tempfile_in(folder).and_then(|mut new| {
            new.write_all(text)?;
            fs::set_permissions(new.path(), was.permissions())?;
            chown(new.path(), Some(was.uid()), Some(was.gid()))?;
            new.as_file().sync_all()?;
            new.persist(file).map_err(io::Error::from).map(drop)
        });
    // A mounted file cannot be replaced, nor one in a folder that cannot be written.
    replaced.or_else(|_| OpenOptions::new().write(true).truncate(true).open(file)?.write_all(text))
}

#[cfg(test)]
mod tests;
