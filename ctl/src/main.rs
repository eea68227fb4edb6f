//! `canaryctl`: answer a shell, or parse, run, map the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    canaryctl::completion::answer();
    match canaryctl::run(canaryctl::Cli::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}
