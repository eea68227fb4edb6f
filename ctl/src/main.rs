//! `canaryctl`: answer a shell, or parse, run, map the result to an exit code.

use std::process::ExitCode;

/// musl's own maps each block of 16 KiB and more anew and gives it back at once: a third of what a developer's connection
/// cost the processor.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

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
