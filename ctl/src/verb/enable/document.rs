//! A Lane from flags, and a Lane's rules in words.

use canary_rules::edge::Edge;
use canary_rules::lane::{API_VERSION, KIND, Lane};
use canary_rules::problem::Problems;
use canary_rules::wire::{FilterConfig, Role};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::users::{UserArgs, Users};
use crate::failure::{Code, Failure};

/// The lane that is meant when none is named.
const LANE: &str = "gray";
/// Every flag that says what a lane is; a file says it instead.
pub(super) const FLAGS: [&str; 13] = [
    "name",
    "cookie",
    "header",
    "query",
    "user_id",
    "user_list",
    "user_key",
    "percent",
    "member",
    "strict",
    "parent",
    "priority",
    "expires",
];

/// Who is in a lane whatever the share, in flags.
#[derive(Debug, clap::Args)]
pub(crate) struct RuleArgs {
    /// Who has this cookie is in the lane; may be repeated, any of them will do.
    #[arg(long, value_name = "NAME=VALUE")]
    cookie: Vec<String>,
    /// Who sends this header is in the lane.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Who has this in the query of the URL is in the lane.
    #[arg(long, value_name = "NAME=VALUE")]
    query: Vec<String>,
    #[command(flatten)]
    users: UserArgs,
}

impl RuleArgs {
    /// The rules, as a Lane has them, and the users that one of them names.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub(crate) fn rules(&self) -> Result<(Vec<Value>, Option<Users>), Failure> {
        let mut rules = Vec::new();
        for (subject, given) in [("cookie", &self.cookie), ("header", &self.header), ("query", &self.query)] {
            for text in given {
                let (name, value) = pair(text, subject, '=')?;
                rules.push(json!({"when": {subject: {"name": name, "exact": value}}}));
            }
        }
        let users = self.users.read()?;
        rules.extend(users.as_ref().map(Users::rule));
        Ok((rules, users))
    }
}

/// What a lane is, in flags.
#[derive(Debug, clap::Args)]
pub(super) struct LaneArgs {
    /// The lane; default gray.
    #[arg(value_name = "LANE")]
    name: Option<String>,
    #[command(flatten)]
    rules: RuleArgs,
    /// This share of users is in the lane, in steps of 0.01; each stays on their side of it.
    #[arg(long, value_name = "PERCENT")]
    percent: Option<f64>,
    /// A service's lane pods by a label that they have: stock=version:v2, or shop/stock=version:v2.
    #[arg(long, value_name = "SERVICE=LABEL:VALUE")]
    member: Vec<String>,
    /// Requests of the lane are refused where it has nobody to serve them.
    #[arg(long)]
    strict: bool,
    /// The lane to fall back to before the baseline.
    #[arg(long, value_name = "LANE")]
    parent: Option<String>,
    /// Between lanes that claim the same request the higher one wins.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// When it ends by itself: 2026-12-31T18:00:00Z, or in this time from now: 8h.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

impl LaneArgs {
    /// The Lane.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub(super) fn document(&self) -> Result<Lane, Failure> {
        let (mut rules, users) = self.rules.rules()?;
        if let Some(percent) = self.percent {
            rules.push(json!({"percent": percent}));
        }
        let mut members: Map<String, Value> = Map::new();
        for text in &self.member {
            let (service, label) = pair(text, "member", '=')?;
            let (key, value) = pair(label, "member", ':')?;
            let labels = members.entry(service).or_insert_with(|| json!({}));
            labels[key] = value.into();
        }
        let mut spec = json!({"rules": rules, "members": members});
        if self.strict {
            spec["mode"] = "strict".into();
        }
        if let Some(parent) = &self.parent {
            spec["parent"] = parent.as_str().into();
        }
        if let Some(priority) = self.priority {
            spec["priority"] = priority.into();
        }
        if let Some(expires) = &self.expires {
            spec["expires"] = moment(expires)?.into();
        }
        let name = self.name.as_deref().unwrap_or(LANE);
        let document =
            json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec});
        let lane = Lane::deserialize(&document).map_err(|error| Failure::new(Code::Usage, error))?;
        match canary_rules::lane::compile(std::slice::from_ref(&without_parent(&lane))) {
            Ok(_) => Ok(lane),
            Err(Problems(problems)) => {
                let said = problems.iter().map(|problem| {
                    let user = users.as_ref().and_then(|users| users.place(problem));
                    let place = user.map_or_else(|| problem.scope.text(), str::to_owned);
                    format!("{place}: {}", problem.message)
                });
                Err(Failure::list(Code::Usage, said))
            }
        }
    }
}

/// Whether the parent exists, only the cluster knows.
fn without_parent(lane: &Lane) -> Lane {
    let mut alone = lane.clone();
    alone.spec.parent = None;
    alone
}

fn pair<'a>(text: &'a str, flag: &str, separator: char) -> Result<(String, &'a str), Failure> {
    match text.split_once(separator) {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim())),
        _ => {
            let example = if flag == "member" { "stock=version:v2" } else { "gray=1" };
            Err(Failure::new(Code::Usage, format!("--{flag} {text}: there is no name before `{separator}`"))
                .help(format!("as in --{flag} {example}")))
        }
    }
}

/// A moment: as given, or that much from now.
fn moment(text: &str) -> Result<String, Failure> {
    if text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(text.into());
    }
    let wrong = |_| {
        Failure::new(Code::Usage, format!("--expires {text}: wanted a moment or a time from now"))
            .help("as in --expires 2026-12-31T18:00:00Z or --expires 8h")
    };
    let from_now: jiff::SignedDuration = text.parse().map_err(wrong)?;
    let end = jiff::Timestamp::now()
        .checked_add(from_now)
        .map_err(|error| Failure::new(Code::Usage, format!("--expires {text}: {error}")))?;
    Ok(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Whom these rules are for, in words; empty without any.
#[must_use]
pub(crate) fn who_of_rules(rules: &[Value]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    who(&json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "release"}, "spec": {"rules": rules},
    }))
}

/// Who a lane is for, in words: `cookie gray = 1 · 5 % of users`.
#[must_use]
pub(crate) fn who(lane: &Value) -> String {
    match rule_texts(lane) {
        Some(texts) if texts.is_empty() => "nobody: it has no rules".into(),
        Some(texts) => texts.join(" · "),
        None => "its rules are refused".into(),
    }
}

/// A lane's rules in words; none where they are refused.
pub(crate) fn rule_texts(lane: &Value) -> Option<Vec<String>> {
    let lane = without_parent(&Lane::deserialize(lane).ok()?);
    let compiled = canary_rules::lane::compile(std::slice::from_ref(&lane)).ok()?;
    let config = FilterConfig { lanes: compiled.lanes, ..FilterConfig::new(Role::Edge) };
    let edge = Edge::new(&config).ok()?;
    Some(edge.rule_texts(&lane.metadata.name))
}
