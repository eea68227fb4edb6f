//! Runs tests one after the other on one cluster, and tells what it was like when one failed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::shop::Shop;

/// All tests.
pub(crate) struct Suite {
    stage: Arc<Stage>,
    trials: Vec<Trial>,
}

struct Stage {
    cluster: Cluster,
    /// None once it did not open: every further test says so at once.
    shop: OnceLock<Option<Arc<Shop>>>,
    runtime: Runtime,
}

impl Suite {
    /// Must be called before any other thread is there: it moves the process into the lab.
    pub(crate) fn new() -> Self {
        let cluster = Cluster::find();
        let runtime = Runtime::new().expect("a runtime");
        Self { stage: Arc::new(Stage { cluster, shop: OnceLock::new(), runtime }), trials: Vec::new() }
    }

    pub(crate) fn test(&mut self, name: &str, test: impl AsyncFnOnce(&Shop) + Send + 'static) {
        let stage = self.stage.clone();
        self.trials.push(Trial::test(name, move || {
            let Some(shop) = stage.shop() else { return Err("the shop does not open".into()) };
            let done = catch_unwind(AssertUnwindSafe(|| stage.runtime.block_on(test(&shop))));
            if let Err(panic) = done {
                eprintln!("{}", stage.cluster.dump(shop.namespace()));
                shop.reset();
                resume_unwind(panic);
            }
            Ok(())
        }));
    }

    pub(crate) fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        // Lanes are the whole cluster's, and each test wants them for itself.
        arguments.test_threads = Some(1);
        let listing = arguments.list;
        let code = libtest_mimic::run(&arguments, self.trials).exit_code();
        if !listing {
            self.stage.end();
        }
        code
    }
}

impl Stage {
    /// The shop, opened by the first test that wants it.
    fn shop(&self) -> Option<Arc<Shop>> {
        let open = || {
            let opened = || Arc::new(self.runtime.block_on(Shop::open(&self.cluster)));
            catch_unwind(AssertUnwindSafe(opened)).ok()
        };
        self.shop.get_or_init(open).clone()
    }

    fn end(&self) {
        if std::env::var_os("CANARY_KEEP").is_none()
            && let Some(Some(shop)) = self.shop.get()
        {
            self.cluster.forget_lanes();
            shop.close();
        }
    }
}
