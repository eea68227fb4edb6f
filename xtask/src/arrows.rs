//! Which crate may depend on which: asked of cargo, so that a new edge cannot slip in by a feature.

use anyhow::{Result, bail};

use crate::{process, workspace};

/// A crate of the workspace and the crates that must never be below it.
struct Arrow {
    package: &'static str,
    forbidden: &'static [&'static str],
}

/// Anything that does I/O, knows a cluster, or ties a pure crate to a proxy.
const OUTSIDE_WORLD: &[&str] = &[
    "async-std",
    "hyper",
    "k8s-openapi",
    "kube",
    "kube-client",
    "mio",
    "proxy-wasm",
    "reqwest",
    "rustls",
    "socket2",
    "tokio",
    "ureq",
];

const ARROWS: &[Arrow] = &[
    Arrow { package: "canary-rules", forbidden: OUTSIDE_WORLD },
    Arrow { package: "canary-istio", forbidden: OUTSIDE_WORLD },
    Arrow { package: "canary-release", forbidden: OUTSIDE_WORLD },
    Arrow { package: "canary-trace", forbidden: OUTSIDE_WORLD },
    // Bytes for a developer: over what, and for what, others know.
    Arrow {
        package: "canary-tunnel",
        forbidden: &[
            "canary-istio",
            "canary-release",
            "clap",
            "hyper",
            "k8s-openapi",
            "kube",
            "kube-client",
            "proxy-wasm",
            "rustls",
        ],
    },
    // The filter is the one crate that talks to the proxy, and to nothing else.
    Arrow {
        package: "canary-filter",
        forbidden: &["canary-istio", "hyper", "k8s-openapi", "kube", "mio", "rustls", "socket2", "tokio"],
    },
];

/// Checks every arrow and returns how many there are.
pub(crate) fn check() -> Result<u32> {
    for arrow in ARROWS {
        let tree = process::capture(
            workspace::cargo()
                .args(["tree", "--package", arrow.package, "--all-features", "--edges", "normal,build"])
                .args(["--target", "all", "--prefix", "none", "--format", "{p}"]),
        )?;
        if let Some(found) = first_forbidden(&tree, arrow.forbidden) {
            bail!(
                "{} must not depend on {found}\n\
                 help:  cargo tree --package {} --all-features --invert {found}",
                arrow.package,
                arrow.package
            );
        }
        eprintln!("{:<14} depends on none of {}", arrow.package, arrow.forbidden.join(", "));
    }
    Ok(ARROWS.len() as u32)
}

/// Reads lines such as `tokio v1.54.0 (*)`.
fn first_forbidden<'a>(tree: &'a str, forbidden: &[&str]) -> Option<&'a str> {
    tree.lines().filter_map(|line| line.split(' ').next()).find(|name| forbidden.contains(name))
}

#[cfg(test)]
mod tests {
    use super::first_forbidden;

    #[track_caller]
    fn check(tree: &str, expected: Option<&str>) {
        assert_eq!(first_forbidden(tree, &["tokio", "kube"]), expected);
    }

    #[test]
    fn a_forbidden_crate_is_found_anywhere_in_the_tree() {
        check("canary-rules v0.1.0 (/src/rules)\nserde v1.0.229\ntokio v1.54.0 (*)\n", Some("tokio"));
    }

    #[test]
    fn a_name_that_only_begins_like_a_forbidden_one_is_another_crate() {
        check("canary-rules v0.1.0 (/src/rules)\ntokio-stub v1.0.0\n", None);
    }
}
