//! Runs tests one after the other on one cluster, and tells what it was like when one failed.

use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::shop::Shop;

/// A folder in which whoever begins a test says so; several that run beside each other share it, and all tests.
const SHARED_ENV: &str = "CANARY_SHARED";

/// All tests.
pub(crate) struct Suite {
    stage: Arc<Stage>,
    trials: Vec<Trial>,
}

struct Stage {
    cluster: Cluster,
    shop: Mutex<Premises>,
    runtime: Runtime,
}

/// What tests have of a shop.
enum Premises {
    /// The next test opens one.
    None,
    Open(Arc<Shop>),
    /// It did not open: every further test says so at once.
    Ruined,
}

impl Suite {
    /// Must be called before any other thread is there: it moves the process into the lab.
    pub(crate) fn new() -> Self {
        let cluster = Cluster::find();
        let runtime = Runtime::new().expect("a runtime");
        Self {
            stage: Arc::new(Stage { cluster, shop: Mutex::new(Premises::None), runtime }),
            trials: Vec::new(),
        }
    }

    pub(crate) fn test(&mut self, name: &str, test: impl AsyncFnOnce(&Shop) + Send + 'static) {
        let stage = self.stage.clone();
        self.trials.push(Trial::test(name, move || {
            let Some(shop) = stage.shop() else { return Err("the shop does not open".into()) };
            let started = Instant::now();
            let done = catch_unwind(AssertUnwindSafe(|| stage.runtime.block_on(test(&shop))));
            eprintln!("{:.0} s", started.elapsed().as_secs_f64());
            if let Err(panic) = done {
                eprintln!("{}", stage.cluster.dump(shop.namespace()));
                stage.close();
                resume_unwind(panic);
            }
            Ok(())
        }));
    }

    pub(crate) fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        // Lanes are the whole cluster's, and each test wants them for itself.
        arguments.test_threads = Some(1);
        let code = match std::env::var_os(SHARED_ENV) {
            Some(folder) => shared(&arguments, self.trials, folder.as_ref()),
            None => libtest_mimic::run(&arguments, self.trials).exit_code(),
        };
        if !arguments.list {
            self.stage.close();
        }
        code
    }
}

/// Runs, one after the other, the tests that nobody else has begun.
fn shared(arguments: &Arguments, trials: Vec<Trial>, folder: &Path) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for trial in trials {
        match File::create_new(folder.join(trial.name())) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => panic!("cannot write to {}: {error}", folder.display()),
        }
        let conclusion = libtest_mimic::run(arguments, vec![trial]);
        if conclusion.has_failed() {
            code = conclusion.exit_code();
        }
    }
    code
}

impl Stage {
    /// The shop, opened by the first test that wants it.
    fn shop(&self) -> Option<Arc<Shop>> {
        let mut premises = self.shop.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*premises, Premises::None) {
            let opened = || Arc::new(self.runtime.block_on(Shop::open(&self.cluster)));
            *premises = catch_unwind(AssertUnwindSafe(opened)).map_or(Premises::Ruined, Premises::Open);
        }
        match &*premises {
            Premises::Open(shop) => Some(shop.clone()),
            Premises::None | Premises::Ruined => None,
        }
    }

    /// Closes it and all others: after all tests, and after one that failed, which leaves nobody knows what.
    fn close(&self) {
        let mut premises = self.shop.lock().unwrap_or_else(PoisonError::into_inner);
        let Premises::Open(_) = std::mem::replace(&mut *premises, Premises::None) else { return };
        if std::env::var_os("CANARY_KEEP").is_none() {
            self.cluster.forget_lanes();
            Shop::close_all(&self.cluster);
        }
    }
}
