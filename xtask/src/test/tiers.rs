//! The tiers, cheapest first: what can fail in a second is not found out after ten minutes.

use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

use super::{Outcome, Shop, Tier, cargo_test};
use crate::build::{BYTES_ENV, CTL_ENV, Statics};
use crate::supply::Advisories;
use crate::tools::{Axe, Chromium, Faketime};
use crate::{
    arrows, browser, docs, filter, fuzz, lab, playground, process, rules_in_node, supply, workspace,
};

/// Names the library that stands for a clock.
const FAKETIME_ENV: &str = "CANARY_FAKETIME";
/// Names the folder by which those who run the cluster's tests beside each other share them.
const SHARED_ENV: &str = "CANARY_SHARED";

pub(super) const TIERS: &[Tier] = &[
    Tier { name: "fmt", proves: "rustfmt leaves every file as it is", run: fmt },
    Tier { name: "arrows", proves: "the pure crates stay pure", run: arrows },
    Tier {
        name: "supply",
        proves: "what is built in has a known source, a fitting licence and no known flaw",
        run: supply,
    },
    Tier { name: "clippy", proves: "clippy has nothing to say", run: clippy },
    Tier { name: "size", proves: "the filter and the playground keep to their sizes", run: size },
    Tier { name: "unit", proves: "each crate keeps its own promises", run: unit },
    Tier {
        name: "node",
        proves: "the rules and the playground decide the same in a JavaScript engine",
        run: node,
    },
    Tier { name: "wasm", proves: "the built filter is right on a host with Envoy's semantics", run: wasm },
    Tier { name: "envoy", proves: "the built filter is right in real Envoys", run: envoy },
    Tier { name: "browser", proves: "the dashboard does in a browser what it shows", run: in_browser },
    Tier { name: "cluster", proves: "all of it is right in a real Kubernetes with Istio", run: cluster },
    Tier { name: "fuzz", proves: "no input of a short search makes a parser panic", run: fuzz },
    Tier { name: "docs", proves: "what the documents show works", run: docs },
];

fn fmt(_: &Shop) -> Result<Outcome> {
    process::run(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::one_passed())
}

fn arrows(_: &Shop) -> Result<Outcome> {
    Ok(Outcome { passed: arrows::check()?, ..Outcome::default() })
}

fn supply(_: &Shop) -> Result<Outcome> {
    let judged = supply::check()?;
    let outcome = Outcome { passed: judged.checks, ..Outcome::default() };
    Ok(match judged.advisories {
        Advisories::Checked => outcome,
        Advisories::Waived(why) => Outcome { remark: Some(why), ..outcome },
        Advisories::Unreachable(why) => outcome.and(Outcome::skipped(why)),
    })
}

fn clippy(_: &Shop) -> Result<Outcome> {
    let deny = ["--", "--deny", "warnings"];
    process::run(workspace::cargo_of_all("clippy").arg("--all-targets").args(deny))?;
    // Tests that other tiers run are none of "all".
    process::run(workspace::cargo_of_all("clippy").args(["--test", "*"]).args(deny))?;
    // Host code that only the Wasm build compiles is invisible to the lines above.
    crate::tools::ensure_rust_targets()?;
    process::run(
        workspace::cargo()
            .args(["--config", "wasm-target.toml", "clippy", "--package", "canary-filter"])
            .args(["--target", filter::TARGET])
            .args(deny),
    )?;
    Ok(Outcome { passed: 3, ..Outcome::default() })
}

fn size(_: &Shop) -> Result<Outcome> {
    filter::build()?.check_size()?;
    playground::build()?.check_size()?;
    Ok(Outcome { passed: 2, ..Outcome::default() })
}

/// Everything but the cross-part tests, which the next tiers run by their names: they are none of "all".
fn unit(shop: &Shop) -> Result<Outcome> {
    let mut cargo = shop.with_prometheus(shop.cargo_test()?)?;
    cargo_test::run(cargo.arg("--all-targets"))
}

fn node(shop: &Shop) -> Result<Outcome> {
    match shop.node() {
        Ok(node) => {
            let rules = cargo_test::run(&mut rules_in_node::cargo_test(&node)?)?;
            let mut cargo = shop.cargo_test()?;
            cargo.env(CTL_ENV, shop.canaryctl()?).env("CANARY_NODE", node.program());
            cargo.args(["--test", "playground"]);
            Ok(rules.and(cargo_test::run(&mut cargo)?))
        }
        Err(error) => Ok(Outcome::skipped(format!("no Node: {error:#}"))),
    }
}

fn wasm(shop: &Shop) -> Result<Outcome> {
    cargo_test::run(shop.cargo_test()?.args(["--test", "wasm"]))
}

fn envoy(shop: &Shop) -> Result<Outcome> {
    cargo_test::run(shop.cargo_test()?.args(["--test", "envoy"]))
}

fn in_browser(shop: &Shop) -> Result<Outcome> {
    let chromium = match Chromium::ensure() {
        Ok(chromium) => chromium,
        Err(error) => return Ok(Outcome::skipped(format!("no browser: {error:#}"))),
    };
    let canaryctl = shop.canaryctl()?;
    let mut cargo = shop.with_proxy(browser::cargo_test(&chromium))?;
    cargo.env(CTL_ENV, canaryctl).env(browser::AXE_ENV, Axe::ensure()?.script());
    cargo_test::run(&mut cargo)
}

fn cluster(shop: &Shop) -> Result<Outcome> {
    let mut cargo = shop.with_prometheus(lab::tests())?;
    cargo
        .env(browser::BROWSER_ENV, Chromium::ensure()?.program())
        .env(browser::DRIVER_ENV, browser::driver()?)
        .env(CTL_ENV, shop.canaryctl()?);
    if let Some(kubeconfig) = shop.kubeconfig() {
        cargo.env("CANARY_KUBECONFIG", kubeconfig);
        return cargo_test::run(&mut cargo);
    }
    if let Some(why) = lab::impossible_here() {
        let other = "--kubeconfig FILE runs it on a cluster with Istio";
        return Ok(Outcome::skipped(format!("{why}; {other}")));
    }
    cargo
        .env(FAKETIME_ENV, Faketime::ensure()?.library())
        .env(BYTES_ENV, Statics::build(&filter::build()?, false)?.bytes);
    // Built before the lab is up: compiling takes the processors that the lab's first minute needs.
    process::run(lab::tests().arg("--no-run"))?;
    on_labs(&cargo, shop.labs())
}

/// The cluster's tests on this many labs at once: each takes the next that none has begun.
fn on_labs(cargo: &Command, labs: usize) -> Result<Outcome> {
    if labs == 1 {
        return cargo_test::run(&mut lab::beside_a_lab(cargo, "", lab::Optimised::No)?);
    }
    if lab::named().is_some() {
        bail!("{} names one lab, --labs wants {labs}\nhelp:  leave one of them out", lab::LAB_ENV);
    }
    let shared = tempfile::tempdir().context("making a folder")?;
    let parts: Vec<(String, Command)> = (1..=labs)
        .map(|number| {
            let mut part = lab::beside_a_lab(cargo, &format!("-{number}"), lab::Optimised::No)?;
            part.env(SHARED_ENV, shared.path());
            Ok((format!("lab {number}  "), part))
        })
        .collect::<Result<_>>()?;
    let run = |(prefix, mut part): (String, Command)| cargo_test::run_with_prefix(&mut part, &prefix);
    let outcomes: Vec<Result<Outcome>> = thread::scope(|scope| {
        let started: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || run(part))).collect();
        started.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    outcomes.into_iter().try_fold(Outcome::default(), |all, one| Ok(all.and(one?)))
}

fn fuzz(_: &Shop) -> Result<Outcome> {
    Ok(Outcome { passed: fuzz::briefly()?, ..Outcome::default() })
}

fn docs(shop: &Shop) -> Result<Outcome> {
    let shown = Outcome { passed: docs::check()?, ..Outcome::default() };
    // No crate need have an example in its documentation, so that none were run is no failure here.
    process::run(shop.cargo_test()?.args(["--quiet", "--doc"]))?;
    Ok(shown.and(Outcome::one_passed()))
}
