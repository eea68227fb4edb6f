//! Strategies by the names that people know them by: the steps that each stands for.

use std::time::Duration;

use canary_release::{By, Step};

use crate::duration;
use crate::failure::{Code, Failure};

/// Most steps of a Release, as its definition says.
const STEPS_MAX: u32 = 64;
/// For how long a blue-green release keeps the old pods, in seconds, where nothing else is said.
const BLUE_GREEN_KEEP_WARM_S: u32 = 600;

/// How a release goes.
#[derive(Debug, clap::Args)]
pub(super) struct StrategyArgs {
    /// How it goes: what it makes of the flags below.
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Shares in percent, in steps of 0.01, one after the other.
    #[arg(long, value_name = "PERCENT", value_delimiter = ',')]
    steps: Vec<f64>,
    /// First a step in which the new versions get copies of so many requests, in percent, and nobody sees what they answer.
    /// What they write for a copy is written twice.
    #[arg(long, value_name = "PERCENT")]
    mirror: Option<f64>,
    /// What shares are of: users, each of whom stays on their side of it, or requests, whoever sends them; default
    /// users, and requests with rolling.
    #[arg(long, value_enum)]
    by: Option<ByWhat>,
    /// How long each step is held; default: until it is promoted, and with rolling not at all.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    hold: Option<Duration>,
    /// For how long after the last step the old versions are kept ready, as many pods of them as of the new ones, so that
    /// `undo` takes everybody back at once; default with blue-green 10m.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    keep_warm: Option<Duration>,
}

/// How a release goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Strategy {
    /// Chosen users, then shares of all, as far as either is given.
    #[default]
    FullLink,
    /// Pod by pod: with each new one as large a share of requests, by itself.
    Rolling,
    /// Every pod twice: the new ones are looked at by chosen users, then all users change over at once.
    BlueGreen,
    /// Shares of all, as --steps says.
    Percentage,
    /// Chosen users alone, by cookie, header, query or list, until it is promoted.
    #[value(alias = "header")]
    Cookie,
}

/// What shares are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ByWhat {
    /// Each user stays on their side of it.
    Users,
    /// Each request is drawn anew, and goes through one version of every service.
    Requests,
}

/// What a strategy comes to in a Release.
#[derive(Debug, PartialEq)]
pub(super) struct Course {
    pub(super) steps: Vec<Step>,
    pub(super) by: By,
    /// Whether the lane has as many pods as the Deployments from the first step on.
    pub(super) has_all_pods: bool,
    pub(super) keep_warm_s: Option<u32>,
}

impl StrategyArgs {
    /// What is meant, for Deployments of this many pods at most.
    ///
    /// # Errors
    /// When what the strategy needs is missing, or it makes what is given itself.
    pub(super) fn course(&self, has_rules: bool, pods: u32) -> Result<Course, Failure> {
        let usage = |message: &str, help: &str| Err(Failure::new(Code::Usage, message).help(help));
        let (strategy, has_steps) = (self.strategy, !self.steps.is_empty());
        match strategy {
            Strategy::Percentage if !has_steps => {
                return usage("--strategy percentage has no shares", "give them as in --steps 5,25,50");
            }
            Strategy::Cookie if !has_rules => {
                return usage(
                    "--strategy cookie has no users",
                    "choose them as in --cookie gray=1 or --header x-beta=1",
                );
            }
            Strategy::Cookie if has_steps => {
                let help = "leave out --steps, or take --strategy full-link, which has both";
                return usage("--strategy cookie has no shares", help);
            }
            Strategy::Rolling if has_steps => {
                return usage("--strategy rolling makes its steps itself, one per pod", "leave out --steps");
            }
            _ => {}
        }
        let hold_seconds = match (self.hold, strategy) {
            (Some(hold), _) => Some(seconds(hold)),
            (None, Strategy::Rolling) => Some(0),
            (None, _) => None,
        };
        let shares = match strategy {
            Strategy::Rolling => pod_by_pod(pods),
            Strategy::BlueGreen if !has_steps => vec![0.0, 100.0],
            // Chosen users alone are a step too, if it is held for a time.
            _ if !has_steps && hold_seconds.is_some() => vec![0.0],
            _ => self.steps.clone(),
        };
        let by = match (self.by, strategy) {
            (Some(ByWhat::Requests), _) | (None, Strategy::Rolling) => By::Requests,
            (Some(ByWhat::Users) | None, _) => By::Users,
        };
        let is_blue_green = strategy == Strategy::BlueGreen;
        let step = |share| Step { share: Some(share), hold_seconds, ..Step::default() };
        // Held until it is looked at, unless it is said for how long.
        let copies = self.mirror.map(|mirror| Step {
            mirror: Some(mirror),
            hold_seconds: self.hold.map(seconds),
            ..Step::default()
        });
        Ok(Course {
            steps: copies.into_iter().chain(shares.into_iter().map(step)).collect(),
            by,
            has_all_pods: is_blue_green,
            keep_warm_s: self.keep_warm.map(seconds).or(is_blue_green.then_some(BLUE_GREEN_KEEP_WARM_S)),
        })
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// A share per pod, no larger than the pods that are there by then can serve; of very many pods several at a time.
fn pod_by_pod(pods: u32) -> Vec<f64> {
    let steps = pods.clamp(1, STEPS_MAX);
    (1..=steps).map(|step| (f64::from(step) * 10_000.0 / f64::from(steps)).floor() / 100.0).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: StrategyArgs,
    }

    fn course(line: &str, has_rules: bool, pods: u32) -> Result<Course, Failure> {
        let words = std::iter::once("start").chain(line.split_whitespace());
        Line::parse_from(words).args.course(has_rules, pods)
    }

    /// Shares, for how long, of what, and whether everything is there twice and for how long.
    #[track_caller]
    fn check(line: &str, pods: u32, want: (&[f64], Option<u32>, By, bool, Option<u32>)) {
        let made = course(line, true, pods).unwrap_or_else(|error| panic!("{line}: {error}"));
        let shares: Vec<f64> = made.steps.iter().filter_map(|step| step.share).collect();
        let hold = made.steps.first().and_then(|step| step.hold_seconds);
        assert_eq!((&*shares, hold, made.by, made.has_all_pods, made.keep_warm_s), want, "{line}");
    }

    #[test]
    fn a_strategy_is_known_by_its_name() {
        check("", 3, (&[], None, By::Users, false, None));
        check("--hold 10m", 3, (&[0.0], Some(600), By::Users, false, None));
        check("--strategy cookie", 3, (&[], None, By::Users, false, None));
        check("--strategy header --hold 1m", 3, (&[0.0], Some(60), By::Users, false, None));
        check("--strategy percentage --steps 5,25", 3, (&[5.0, 25.0], None, By::Users, false, None));
        check("--steps 0.01 --by requests", 3, (&[0.01], None, By::Requests, false, None));
        check("--strategy blue-green", 3, (&[0.0, 100.0], None, By::Users, true, Some(600)));
        check("--strategy blue-green --keep-warm 0s", 3, (&[0.0, 100.0], None, By::Users, true, Some(0)));
        check("--strategy rolling", 3, (&[33.33, 66.66, 100.0], Some(0), By::Requests, false, None));
        check("--strategy rolling --by users --hold 1m", 1, (&[100.0], Some(60), By::Users, false, None));
        check("--strategy rolling", 0, (&[100.0], Some(0), By::Requests, false, None));
        assert_eq!(pod_by_pod(1000).len(), 64);
    }

    #[test]
    fn copies_come_first_and_are_looked_at() {
        for (line, want) in [
            ("--mirror 10", vec![(Some(10.0), None, None)]),
            ("--mirror 10 --steps 5", vec![(Some(10.0), None, None), (None, Some(5.0), None)]),
            (
                "--mirror 0.5 --steps 5 --hold 1m",
                vec![(Some(0.5), None, Some(60)), (None, Some(5.0), Some(60))],
            ),
            ("--mirror 10 --strategy rolling", vec![(Some(10.0), None, None), (None, Some(100.0), Some(0))]),
        ] {
            let made = course(line, true, 1).unwrap_or_else(|error| panic!("{line}: {error}"));
            let steps: Vec<_> =
                made.steps.iter().map(|step| (step.mirror, step.share, step.hold_seconds)).collect();
            assert_eq!(steps, want, "{line}");
        }
    }

    #[test]
    fn a_strategy_says_what_it_lacks() {
        for (line, has_rules, want) in [
            ("--strategy percentage", true, "no shares"),
            ("--strategy cookie", false, "no users"),
            ("--strategy cookie --steps 5", true, "no shares"),
            ("--strategy rolling --steps 5", true, "one per pod"),
        ] {
            let error = course(line, has_rules, 3).expect_err(line);
            assert!(error.to_string().contains(want), "{line}: {error}");
        }
    }
}
