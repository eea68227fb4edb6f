//! The dashboard in a real browser, on the demo's mesh. `CANARY_CTL` names canaryctl with the filter and the
//! playground in it, `CANARY_ENVOY` the Envoy, `CANARY_BROWSER` a Chromium, `CANARY_AXE` the script of axe-core.
//!
//! Tests share one demo and one browser and run one after the other, each in a page of its own. With
//! `CANARY_SCREENSHOTS=FOLDER` the pictures for the documents are made instead.

mod demo;
mod everybody;
mod mesh;
mod pictures;
mod playground;

use std::process::ExitCode;

use canary_browser_tests::browser::Browser;
use libtest_mimic::{Arguments, Trial};

use demo::{Demo, needed};

/// What tests share.
pub(crate) struct Stage {
    pub(crate) demo: Demo,
    pub(crate) browser: Browser,
}

type Check = fn(&'static Stage, &tokio::runtime::Runtime);

/// A test by its function's name.
macro_rules! checks {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((stringify!($name), (|stage, runtime| runtime.block_on($module::$name(stage))) as Check)),*]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let checks = checks![
        mesh::a_lane_that_is_chosen_is_drawn_over_the_services,
        mesh::a_flow_sent_by_the_keyboard_alone_shows_its_tree,
        mesh::a_lane_turned_off_takes_nobody_and_comes_back,
        mesh::what_goes_over_each_arrow_is_shown,
        mesh::arrows_that_fail_are_told_apart,
        mesh::what_cannot_be_sent_is_said,
        mesh::five_hundred_services_are_drawn_at_once,
        mesh::very_many_arrows_are_in_bundles_and_those_of_one_service_in_front,
        mesh::flows_of_a_watched_lane_are_a_tree,
        mesh::nothing_is_wider_than_a_phone,
        mesh::whoever_has_a_service_is_listed,
        everybody::nothing_keeps_people_from_using_it,
        playground::it_decides_as_one_types,
        playground::a_fault_has_its_place,
    ];
    if arguments.list {
        let listed = checks.map(|(name, _)| Trial::test(name, || Ok(())));
        return libtest_mimic::run(&arguments, listed.into()).exit_code();
    }
    // Kept until the process ends: tests are run by threads of their own.
    let runtime: &'static tokio::runtime::Runtime =
        Box::leak(Box::new(tokio::runtime::Runtime::new().expect("a runtime")));
    let demo = Demo::start();
    let browser = runtime.block_on(Browser::launch(&needed("CANARY_BROWSER")));
    let stage: &'static Stage = Box::leak(Box::new(Stage { demo, browser }));
    let code = match std::env::var_os("CANARY_SCREENSHOTS") {
        Some(folder) => {
            runtime.block_on(pictures::make(stage, folder.as_ref()));
            ExitCode::SUCCESS
        }
        None => {
            let trials = checks.map(|(name, check)| {
                Trial::test(name, move || {
                    check(stage, runtime);
                    Ok(())
                })
            });
            libtest_mimic::run(&arguments, trials.into()).exit_code()
        }
    };
    runtime.block_on(stage.browser.end());
    stage.demo.end();
    code
}
