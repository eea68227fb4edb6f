//! Asking before something that others will feel.

use std::io::{IsTerminal as _, Write as _};

use crate::failure::{Code, Failure};

/// Whether to ask.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Confirm {
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Confirm {
    /// Asks, unless told not to.
    ///
    /// # Errors
    /// When the answer is no, or nobody is there to answer.
    pub fn ask(self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::new(Code::Usage, format!("nobody is there to ask: {question}"))
                .help("say --yes to go on without being asked"));
        }
        anstream::eprint!("{question} [y/N] ");
        // A prompt that cannot be shown is answered all the same.
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            true => Ok(()),
            false => Err(Failure::new(Code::Failed, "nothing was done")),
        }
    }
}
