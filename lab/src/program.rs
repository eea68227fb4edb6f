//! Running other programs to their end, with errors that name the program and what it said.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::error::LabError;
use crate::interrupt::Interrupt;

/// How much of a program's words an error quotes, in bytes.
const SAID_BYTES: usize = 3000;
/// How often a running program is looked at, in milliseconds.
const LOOK_EVERY_MS: u64 = 25;

/// Runs a short command; returns what it printed on standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String, LabError> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| cannot_start(command, source))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Err(LabError::Failed { command: describe(command), status: output.status, said: tail(&said) })
}

/// Runs a long command, handing each line of its standard error to `see`; ends it when interrupted.
///
/// Returns what it printed on standard output.
pub(crate) fn watch(
    command: &mut Command,
    interrupt: &Interrupt,
    see: impl FnMut(&str) + Send,
) -> Result<String, LabError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| cannot_start(command, source))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (ended, stdout, stderr) = std::thread::scope(|scope| {
        let stdout = scope.spawn(|| all_of(stdout));
        let stderr = scope.spawn(|| lines_of(stderr, see));
        (wait(&mut child, interrupt), stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default())
    });
    let status = ended?.map_err(|source| cannot_start(command, source))?;
    if status.success() {
        return Ok(stdout);
    }
    Err(LabError::Failed { command: describe(command), status, said: tail(&format!("{stdout}{stderr}")) })
}

/// The end of a text, where the reasons are.
pub(crate) fn tail(text: &str) -> String {
    let start = text.len().saturating_sub(SAID_BYTES);
    let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[start..].trim_end().to_owned()
}

fn wait(child: &mut Child, interrupt: &Interrupt) -> Result<std::io::Result<ExitStatus>, LabError> {
    loop {
        if let Err(interrupted) = interrupt.check() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(interrupted);
        }
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS)),
            Ok(Some(status)) => return Ok(Ok(status)),
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn all_of(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What could be read is worth more than the reason why no more could be.
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lines_of(stream: Option<impl Read>, mut see: impl FnMut(&str)) -> String {
    let mut all = String::new();
    for line in stream.map(BufReader::new).into_iter().flat_map(|stream| stream.split(b'\n')).flatten() {
        let line = String::from_utf8_lossy(&line);
        see(&line);
        all.push_str(&line);
        all.push('\n');
    }
    all
}

fn cannot_start(command: &Command, source: std::io::Error) -> LabError {
    LabError::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

fn describe(command: &Command) -> String {
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(command.get_program().to_string_lossy()).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_named_with_its_last_words() {
        let error = capture(Command::new("sh").args(["-c", "echo no; exit 3"])).expect_err("fails");
        assert_eq!(error.to_string(), "sh -c echo no; exit 3 ended with exit status: 3:\nno");
    }

    #[test]
    fn lines_are_seen_as_they_come() {
        let mut seen = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo a >&2; echo out; echo b >&2"]);
        let out = watch(&mut shell, &Interrupt::default(), |line| seen.push(line.to_owned())).expect("runs");
        assert_eq!((seen, out.as_str()), (vec!["a".to_owned(), "b".to_owned()], "out\n"));
    }

    #[test]
    fn the_tail_of_a_text_cuts_no_character() {
        let text = format!("{}ä{}", "x".repeat(10), "y".repeat(SAID_BYTES - 1));
        assert_eq!(tail(&text), "y".repeat(SAID_BYTES - 1));
    }
}
