//! Users by name: `--user-id` (kubectl's `--user` is another thing), `--user-list` and `--user-key`, as one rule.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use canary_rules::condition::VALUES_MAX;
use canary_rules::problem::{Problem, Step};
use serde_json::{Value, json};

use crate::failure::{Code, Failure};
use crate::files;

#[cfg(test)]
mod tests;

/// Longest name of a user, in bytes.
const USER_BYTES_MAX: usize = 256;
/// Most bytes of names in one list: they lie in the Lane and in each gateway's configuration, and an object in
/// a cluster may have 1.5 MiB.
const LIST_BYTES_MAX: usize = 512 * 1024;
/// Most faults that are printed.
const FAULTS_MAX: usize = 20;
/// The rule's name.
const RULE: &str = "users";

/// Users, in flags.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct UserArgs {
    /// This user is in the lane; may be repeated.
    #[arg(long, value_name = "USER")]
    user_id: Vec<String>,
    /// Every user in this file is, one a line; `#` starts a comment; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    user_list: Vec<PathBuf>,
    /// What of a request names its user: header:NAME, cookie:NAME, or claim:NAME of the bearer token; default
    /// header:x-user-id. Anybody can write a header or a cookie; a claim that is verified nobody can.
    #[arg(long, value_name = "KIND:NAME")]
    user_key: Option<UserKey>,
}

/// What of a request names its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserKey {
    kind: &'static str,
    name: String,
}

impl Default for UserKey {
    fn default() -> Self {
        Self { kind: "header", name: "x-user-id".into() }
    }
}

impl FromStr for UserKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` names no user: wanted header:NAME, cookie:NAME or claim:NAME");
        let (kind, name) = text.split_once(':').ok_or_else(wanted)?;
        let kind = ["header", "cookie", "claim"].into_iter().find(|known| *known == kind);
        match (kind, name.trim()) {
            (None, _) | (_, "") => Err(wanted()),
            (Some(kind), name) => Ok(Self { kind, name: name.into() }),
        }
    }
}

/// Users, each with the place that names it.
#[derive(Debug, Default)]
pub(crate) struct Users {
    key: UserKey,
    named: Vec<(String, String)>,
}

impl UserArgs {
    /// The users; none where no flag names any.
    ///
    /// # Errors
    /// A file that cannot be read, every name that no user can have, and more than a rule may hold.
    pub(super) fn read(&self) -> Result<Option<Users>, Failure> {
        if self.user_id.is_empty() && self.user_list.is_empty() {
            return match &self.user_key {
                None => Ok(None),
                Some(_) => Err(Failure::new(Code::Usage, "--user-key is given, but no user")
                    .help("name users with --user-id USER or --user-list FILE")),
            };
        }
        let mut list = List { key: self.user_key.clone().unwrap_or_default(), ..List::default() };
        for user in &self.user_id {
            list.add(user.trim(), "--user-id".into());
        }
        for path in &self.user_list {
            list.add_file(path)?;
        }
        list.finish().map(Some)
    }
}

impl Users {
    /// The rule.
    pub(super) fn rule(&self) -> Value {
        let names: Vec<&str> = self.named.iter().map(|(name, _)| name.as_str()).collect();
        let UserKey { kind, name } = &self.key;
        json!({"name": RULE, "when": {*kind: {"name": name, "in": names}}})
    }

    /// Where the user is named that a problem of the rule is about.
    pub(super) fn place(&self, problem: &Problem) -> Option<&str> {
        match problem.scope.path.as_slice() {
            [.., Step::Key(operator), Step::Index(index)] if operator == "in" => {
                self.named.get(*index).map(|(_, place)| place.as_str())
            }
            _ => None,
        }
    }
}

/// Users as they are read.
#[derive(Debug, Default)]
struct List {
    key: UserKey,
    named: Vec<(String, String)>,
    known: HashSet<String>,
    bytes: usize,
    faults: Vec<String>,
}

impl List {
    fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        let (name, bytes) = files::bytes(path).map_err(|failure| {
            failure.help("give a file with a user on each line, or `-` for standard input")
        })?;
        let before = self.named.len() + self.faults.len();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let place = format!("{name}:{}", index + 1);
            match std::str::from_utf8(line) {
                Ok(line) => match without_comment(line) {
                    "" => {}
                    user => self.add(user, place),
                },
                Err(_) => self.faults.push(format!("{place}: the line is no UTF-8")),
            }
        }
        if self.named.len() + self.faults.len() == before {
            self.faults.push(format!("{name}: names no user that is not named already"));
        }
        Ok(())
    }

    fn add(&mut self, user: &str, place: String) {
        if let Some(fault) = self.fault(user) {
            self.faults.push(format!("{place}: {fault}"));
            return;
        }
        if !self.known.insert(user.to_owned()) {
            return;
        }
        let bytes = self.bytes;
        self.bytes += user.len();
        match self.named.len() {
            VALUES_MAX => self.faults.push(format!(
                "{place}: more than {VALUES_MAX} users: give them a cookie, or a claim in their token, and let the rule ask for that"
            )),
            _ if bytes <= LIST_BYTES_MAX && self.bytes > LIST_BYTES_MAX => {
                self.faults.push(format!("{place}: the names so far have more than {LIST_BYTES_MAX} bytes"));
            }
            _ => {}
        }
        self.named.push((user.to_owned(), place));
    }

    /// Why no request can name this user.
    fn fault(&self, user: &str) -> Option<String> {
        match user {
            "" => Some("the name is empty".into()),
            _ if user.len() > USER_BYTES_MAX => {
                Some(format!("the name is longer than {USER_BYTES_MAX} bytes"))
            }
            _ if user.contains(char::is_control) => {
                Some(format!("`{}` holds a control character", user.escape_debug()))
            }
            _ if self.key.kind == "cookie" && user.contains(';') => {
                Some(format!("`{user}` holds a `;`, which ends a cookie"))
            }
            _ => None,
        }
    }

    fn finish(mut self) -> Result<Users, Failure> {
        if self.faults.is_empty() {
            return Ok(Users { key: self.key, named: self.named });
        }
        let rest = self.faults.len().saturating_sub(FAULTS_MAX);
        self.faults.truncate(FAULTS_MAX);
        if rest > 0 {
            self.faults.push(format!("and {rest} more"));
        }
        Err(Failure::list(Code::Documents, self.faults))
    }
}

/// A line up to a `#` that begins it or follows a blank.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices('#').find(|(at, _)| {
        line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim()
}
