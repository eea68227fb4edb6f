//! Whether one may do what an installation does.

use kube::Client;

use super::{Report, Weight};
use crate::cluster::api_failure;
use crate::failure::Failure;
use crate::rights::{self, Command, Rule, Whose};

pub(super) async fn look(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let mut rules = Command::Install.rules(&[])?;
    rules.retain(|rule: &Rule| rule.whose == Whose::All);
    let needed = rights::rights(&rules);
    let count = needed.len();
    let missing = rights::missing(client, needed).await;
    let missing = missing.map_err(|error| api_failure("ask for your rights", &error))?;
    if missing.is_empty() {
        report.well(format!("you may install ({count} permissions)"));
    }
    for right in missing {
        report.issue(
            "CC210",
            Weight::Error,
            format!("you may not {right}"),
            "canaryctl rbac install prints what it takes, for somebody who may grant it",
        );
    }
    Ok(())
}
