//! Whether a verb changes anything, and whether it waits until that has arrived.

use std::time::Duration;

use crate::duration;

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct DryRun {
    /// Change nothing: `client` prints what would be sent, `server` has the API server judge it.
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, default_missing_value = "client")]
    dry_run: Option<By>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Client,
    Server,
}

impl DryRun {
    /// Nothing is sent.
    #[must_use]
    pub fn is_client(self) -> bool {
        self.dry_run == Some(By::Client)
    }

    /// It is sent to be judged only.
    #[must_use]
    pub fn is_server(self) -> bool {
        self.dry_run == Some(By::Server)
    }
}

/// Whether, and how long, to wait until every proxy has it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Waiting {
    /// Wait until every proxy has it.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, default_value = "60s", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
}

impl Waiting {
    /// How long to wait; none: not at all.
    #[must_use]
    pub fn timeout(self) -> Option<Duration> {
        self.wait.then_some(self.timeout)
    }
}
