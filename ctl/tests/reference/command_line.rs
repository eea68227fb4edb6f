//! Verbs, their arguments, and exit codes.

use canaryctl::Cli;
use canaryctl::cluster::HEADING;
use canaryctl::failure::Code;
use clap::{Arg, Command, CommandFactory as _};

use super::cell;

const INTRODUCTION: &str = "# The command line

`canaryctl VERB --help` says the same. As `kubectl-canaryctl` on the path it is a plugin: `kubectl canaryctl VERB`.

";

pub(super) fn page() -> String {
    let root = Cli::built(Cli::command().disable_help_subcommand(true));
    let mut page = INTRODUCTION.to_owned();
    page += &exit_codes(&root);
    page += "## The cluster\n\nVerbs that ask a cluster take kubectl's flags:\n\n";
    page += &table(root.get_arguments().filter(|arg| is_clusters(arg)));
    for verb in root.get_subcommands() {
        page += &verbs(verb);
    }
    page.trim_end().to_owned() + "\n"
}

/// The codes, in the words of `--help`.
fn exit_codes(root: &Command) -> String {
    let said = root.get_after_help().expect("the codes").to_string().replace('\n', " ");
    let mut page = "## Exit codes\n\n| code | says |\n|---|---|\n| 0 | done |\n".to_owned();
    for code in Code::ALL {
        let row = (code as u8, code.about());
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            code == Code::Interrupted || words.contains(&format!("{} {}", row.0, row.1)),
            "--help does not say {row:?}"
        );
        page += &format!("| {} | {} |\n", row.0, row.1);
    }
    page + "\n"
}

/// A verb and those below it.
fn verbs(verb: &Command) -> String {
    if verb.is_hide_set() {
        return String::new();
    }
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
    let about = verb.get_long_about().or(verb.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut page = format!("## {name}\n\n{}\n\n", sentence(&about));
    let below: Vec<&Command> = verb.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    if below.is_empty() {
        page += &format!("```text\n{}\n```\n\n", usage(verb));
        page += &table(verb.get_arguments().filter(|arg| !is_clusters(arg)));
        if verb.get_arguments().any(|arg| is_clusters(arg) && !arg.is_hide_set()) {
            page += "It asks [a cluster](#the-cluster).\n\n";
        }
    }
    if let Some(more) = verb.get_after_long_help().or(verb.get_after_help()) {
        page += &format!("```text\n{}\n```\n\n", more.to_string().trim_end());
    }
    below.iter().fold(page, |page, below| page + &verbs(below))
}

fn usage(verb: &Command) -> String {
    let said = verb.clone().render_usage().to_string();
    said.trim_start_matches("Usage:").trim().to_owned()
}

fn is_clusters(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(HEADING)
}

fn table<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    let rows: Vec<String> = arguments.filter(shown).map(row).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("| argument | is |\n|---|---|\n{}\n", rows.concat()),
    }
}

fn row(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut about = sentence(&help);
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !arg.is_hide_possible_values_set() && !values.is_empty() {
        let named: Vec<String> = values
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        about += &format!(" One of {}.", named.join(", "));
    }
    if arg.get_action().takes_values() && !arg.get_default_values().is_empty() {
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        about += &format!(" Default: `{}`.", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        about += &format!(" Else `${}`.", variable.to_string_lossy());
    }
    format!("| `{}` | {} |\n", cell(&called(arg)), cell(&about))
}

/// What is typed.
fn called(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    let values = if arg.get_action().takes_values() { values.join(" ") } else { String::new() };
    if arg.is_positional() {
        return names.join(" ");
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    format!("{} {values}", flags.join(", ")).trim_end().to_owned()
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}
