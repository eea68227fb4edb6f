use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn log_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("log")
}

/// Whether the process exists, zombies included.
fn exists(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn a_dropped_process_is_gone() {
    let dir = tempfile::tempdir().expect("dir");
    let process = Process::start("sleeper", shell("exec sleep 600"), &log_in(&dir)).expect("started");
    let id = process.id();
    assert!(exists(id));
    drop(process);
    assert!(!exists(id));
}

#[test]
fn a_process_outlives_the_thread_that_asked_for_it() {
    let dir = tempfile::tempdir().expect("dir");
    let log = log_in(&dir);
    let asked = std::thread::spawn(move || Process::start("sleeper", shell("exec sleep 600"), &log));
    let process = asked.join().expect("thread").expect("started");
    process.check_running().expect("running");
}

#[test]
fn an_end_is_told_with_the_log() {
    let dir = tempfile::tempdir().expect("dir");
    let process = Process::start("crasher", shell("echo why >&2; exit 3"), &log_in(&dir)).expect("started");
    let status = process.locked().wait().expect("waited");
    assert_eq!(status.code(), Some(3));
    let error = process.check_running().expect_err("ended");
    assert_eq!(error.to_string(), "crasher ended (exit status: 3); its log ends:\nwhy");
}

#[test]
fn a_missing_program_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let error = Process::start("app", Command::new("/no/such/program"), &log_in(&dir)).expect_err("missing");
    assert_eq!(error.to_string(), "cannot run /no/such/program as app");
}

#[test]
fn why_it_ended_is_quoted_however_long_the_stack_behind_it() {
    let reason = "[critical] assert failure: inotify_fd_ >= 0. Details: Consider increasing value of user.max_inotify_instances";
    let stack = "[critical] #0: something".to_owned() + &"\n#1: of no use".repeat(1000);
    let quoted = quote(&format!("[info] starting\n{reason}\n{stack}"));
    assert!(quoted.starts_with(reason), "{quoted}");
    assert!(quoted.len() < 3 * LOG_TAIL_BYTES, "{} bytes", quoted.len());
    assert_eq!(quote("all of it\n"), "all of it");
}
