//! `cargo xtask …`: every chore of the project behind one command, from a fresh clone.
//!
//! Owns how parts are built, checked and run together. Knows nothing of lanes, proxies or clusters: what is
//! tested lives in the crates, this only finds the tools, calls them in order and says what it is doing.

mod arrows;
mod bench;
mod browser;
mod build;
mod demo;
mod docs;
mod filter;
mod fuzz;
mod generate;
mod lab;
mod playground;
mod process;
mod rules_in_node;
mod soak;
mod step;
mod supply;
mod test;
mod tools;
mod workspace;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores; each sets up what it needs", version)]
enum Verb {
    Tools(tools::Args),
    Build(build::Args),
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
    Soak(soak::Args),
    Fuzz(fuzz::Args),
    Generate(generate::Args),
    Lab(lab::Args),
    Screenshots(browser::Args),
}

fn main() -> std::process::ExitCode {
    let result = match Verb::parse() {
        Verb::Tools(args) => tools::run(&args),
        Verb::Build(args) => build::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Soak(args) => soak::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Generate(args) => generate::run(&args),
        Verb::Lab(args) => lab::run(&args),
        Verb::Screenshots(args) => browser::screenshots(&args),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
