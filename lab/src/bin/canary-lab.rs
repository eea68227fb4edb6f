//! `canary-lab up|down|shell|status`: labs by hand. `cargo xtask lab` builds it and brings what it needs.

#[cfg(target_os = "linux")]
#[path = "canary-lab/verbs.rs"]
mod verbs;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    verbs::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("error: a lab needs Linux: it is made of network namespaces and control groups");
    std::process::ExitCode::FAILURE
}
