//! Runs tests one after the other on one cluster, and tells what it was like when one failed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::shop::Shop;

/// Which tests are run, `1/2` for every second from the first on; all without it.
const PART_ENV: &str = "CANARY_PART";

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

    pub(crate) fn run(mut self) -> ExitCode {
        if let Some(part) = std::env::var_os(PART_ENV) {
            let part = part.to_str().and_then(Part::parse).expect("CANARY_PART is such as 1/2");
            self.trials = part.of(self.trials);
        }
        let mut arguments = Arguments::from_args();
        // Lanes are the whole cluster's, and each test wants them for itself.
        arguments.test_threads = Some(1);
        let listing = arguments.list;
        let code = libtest_mimic::run(&arguments, self.trials).exit_code();
        if !listing {
            self.stage.close();
        }
        code
    }
}

/// One of several runs that have all tests between them.
struct Part {
    number: usize,
    of: usize,
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let (number, of) = text.split_once('/')?;
        let part = Self { number: number.parse().ok()?, of: of.parse().ok()? };
        (1..=part.of).contains(&part.number).then_some(part)
    }

    /// Every n-th, so that long tests, which stand beside each other, are dealt out.
    fn of<T>(&self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.number - 1).step_by(self.of).collect()
    }
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

    /// Closes it: after all tests, and after one that failed, which leaves nobody knows what.
    fn close(&self) {
        let mut premises = self.shop.lock().unwrap_or_else(PoisonError::into_inner);
        let Premises::Open(shop) = std::mem::replace(&mut *premises, Premises::None) else { return };
        if std::env::var_os("CANARY_KEEP").is_none() {
            self.cluster.forget_lanes();
            shop.close();
        }
    }
}
