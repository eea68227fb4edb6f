//! A module with all callbacks and one more, and one that lacks a callback.

use walrus::{FunctionBuilder, Module};

use super::{KEPT, prune};

fn module_exporting(names: &[&str]) -> Vec<u8> {
    let mut module = Module::default();
    let memory = module.memories.add_local(false, false, 1, None, None);
    for name in names {
        if *name == "memory" {
            module.exports.add(name, memory);
        } else {
            let function =
                FunctionBuilder::new(&mut module.types, &[], &[]).finish(vec![], &mut module.funcs);
            module.exports.add(name, function);
        }
    }
    module.emit_wasm()
}

fn names_exported(wasm: &[u8]) -> Vec<String> {
    Module::from_buffer(wasm).unwrap().exports.iter().map(|export| export.name.clone()).collect()
}

#[test]
fn only_what_envoy_needs_stays() {
    let mut names = KEPT.to_vec();
    names.push("proxy_on_request_body");
    let pruned = prune(&module_exporting(&names)).unwrap();
    assert_eq!(names_exported(&pruned), KEPT);
    assert_eq!(Module::from_buffer(&pruned).unwrap().funcs.iter().count(), KEPT.len() - 1);
}

#[test]
fn a_missing_callback_is_refused_by_name() {
    let names: Vec<&str> = KEPT.into_iter().filter(|name| *name != "proxy_on_tick").collect();
    let error = prune(&module_exporting(&names)).unwrap_err();
    assert_eq!(error.to_string(), "the compiled filter does not export proxy_on_tick");
}
