//! Runs tests in groups that share a mesh.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::stage::Stage;

/// Starts a group's mesh.
type Start = fn() -> Pin<Box<dyn Future<Output = Stage>>>;

/// All groups.
pub(crate) struct Suite {
    runtime: Arc<Runtime>,
    trials: Vec<Trial>,
}

/// Tests of one mesh, in the order in which they run.
pub(crate) struct Group<'s> {
    suite: &'s mut Suite,
    name: &'static str,
    shared: Arc<Shared>,
}

/// A mesh that the first test to run starts, and the last one ends.
struct Shared {
    start: Start,
    stage: OnceLock<Option<Stage>>,
    // Last, since what the mesh holds open lives in it.
    runtime: Arc<Runtime>,
}

impl Suite {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        Self { runtime: Arc::new(runtime), trials: Vec::new() }
    }

    /// The tests of one mesh. Only they hold it, so that it ends with the last of them: a proxy takes four of
    /// the 128 inotify instances that Linux grants a user, and aborts where there is none.
    pub(crate) fn group(&mut self, name: &'static str, start: Start, tests: impl FnOnce(&mut Group<'_>)) {
        let shared = Shared { start, stage: OnceLock::new(), runtime: self.runtime.clone() };
        tests(&mut Group { suite: self, name, shared: Arc::new(shared) });
    }

    /// A test that has a mesh of its own, or none.
    pub(crate) fn alone(&mut self, name: &str, test: impl AsyncFnOnce() + Send + 'static) {
        let runtime = self.runtime.clone();
        self.trials.push(Trial::test(name, move || {
            runtime.block_on(test());
            Ok(())
        }));
    }

    pub(crate) fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        // Tests of one mesh read its counters, and each uses all there is of the machine by itself.
        arguments.test_threads.get_or_insert(1);
        libtest_mimic::run(&arguments, self.trials).exit_code()
    }
}

impl Group<'_> {
    pub(crate) fn test(&mut self, name: &str, test: impl AsyncFnOnce(&Stage) + Send + 'static) {
        let shared = self.shared.clone();
        let run = move || shared.run(test);
        self.suite.trials.push(Trial::test(format!("{}::{name}", self.name), run));
    }
}

impl Shared {
    fn run(&self, test: impl AsyncFnOnce(&Stage)) -> Result<(), Failed> {
        let start = || {
            let started = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on((self.start)())));
            started.ok()
        };
        let Some(stage) = self.stage.get_or_init(start) else { return Err("the mesh does not start".into()) };
        let done = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(test(stage))));
        if let Err(panic) = done {
            eprintln!("{}", self.runtime.block_on(stage.dump()));
            resume_unwind(panic);
        }
        Ok(())
    }
}
