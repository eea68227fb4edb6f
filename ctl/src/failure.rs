//! What a verb ends with when it fails: what and where, why once, what to type next.

use std::fmt;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// A failure, ready to print.
#[derive(Debug)]
pub struct Failure {
    /// Each an `error:` line of its own.
    messages: Vec<String>,
    help: Option<String>,
    code: Code,
}

/// What the process exits with. Part of the interface; `canaryctl --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The verb could not do its work.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// Documents were read and have errors, or a check found some.
    Documents = 3,
    /// It was not done in the time given.
    Timeout = 4,
    /// Somebody else holds or changed it.
    Conflict = 5,
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

impl Code {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Failed, Self::Usage, Self::Documents, Self::Timeout, Self::Conflict, Self::Interrupted];

    /// What it says, in the words of `--help`.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "wrong usage",
            Self::Documents => "documents with errors",
            Self::Timeout => "timed out",
            Self::Conflict => "somebody else's change",
            Self::Interrupted => "stopped by Ctrl-C",
        }
    }
}

impl fmt::Display for Failure {
    /// Writes the messages, without what to type next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("; "))
    }
}

impl Failure {
    /// One message.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { messages: vec![message.to_string()], help: None, code }
    }

    /// A message and its causes on one line; a cause that the line says already is not repeated.
    pub fn from_error(code: Code, error: &dyn std::error::Error) -> Self {
        Self::new(code, chain(error))
    }

    /// Several messages of one kind.
    pub fn list(code: Code, messages: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        Self { messages: messages.into_iter().map(|message| message.to_string()).collect(), help: None, code }
    }

    /// The same failure, its messages led by what was tried.
    #[must_use]
    pub fn context(mut self, tried: &str) -> Self {
        for message in &mut self.messages {
            *message = format!("{tried}: {message}");
        }
        self
    }

    /// Everything is said already: only the exit code is left.
    #[must_use]
    pub fn silent(code: Code) -> Self {
        Self { messages: Vec::new(), help: None, code }
    }

    /// What to type next.
    #[must_use]
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// What to type next, if there is something.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// What the process exits with.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Prints to standard error.
    pub fn print(&self) {
        for message in &self.messages {
            anstream::eprintln!("{ERROR}error:{ERROR:#} {message}");
        }
        if let Some(help) = &self.help {
            anstream::eprintln!("{HELP}help:{HELP:#}  {help}");
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }
}

/// An error and its causes on one line, none said twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line
}
