//! The `env.proxy_*` functions, as Envoy answers them.
//!
//! Source: proxy-wasm-cpp-host `exports.cc` and Envoy's `extensions/common/wasm/context.cc`.

mod headers;

use wasmtime::{Caller, Linker};

use super::abi::{BufferKind, HostCall, Status};
use super::context::Tick;
use super::guest_memory::{Fault, Slice, hand_over, read, write_u32, write_u64};
use super::process::LOG_LEVEL_WARN;
use super::vm::Guest;
use super::{HeaderMap, LocalResponse};

type Answer = Result<(), Fault>;

pub(super) fn offer(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let l = linker;
    headers::offer(l)?;
    shared_data(l)?;
    metrics(l)?;
    surroundings(l)?;
    control(l)
}

fn shared_data(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        HostCall::GetSharedData.name(),
        |mut c: Caller<'_, Guest>, key: u32, key_length: u32, pointer: u32, length: u32, cas: u32| {
            answer(&mut c, HostCall::GetSharedData, |c| {
                let key = read(c, Slice(key, key_length))?;
                let guest = c.data();
                let process = guest.process.borrow();
                let (value, number) = process.shared.get(guest.options.vm_id.as_bytes(), &key)?;
                let value = value.to_vec();
                drop(process);
                hand_over(c, &value, pointer, length)?;
                write_u32(c, cas, number)
            })
        },
    )?;
    l.func_wrap(
        "env",
        HostCall::SetSharedData.name(),
        |mut c: Caller<'_, Guest>, key: u32, key_length: u32, value: u32, value_length: u32, cas: u32| {
            answer(&mut c, HostCall::SetSharedData, |c| {
                let key = read(c, Slice(key, key_length))?;
                let value = read(c, Slice(value, value_length))?;
                let guest = c.data();
                let shared = &mut guest.process.borrow_mut().shared;
                Ok(shared.set(guest.options.vm_id.as_bytes(), &key, &value, cas)?)
            })
        },
    )?;
    Ok(())
}

fn metrics(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        HostCall::DefineMetric.name(),
        |mut c: Caller<'_, Guest>, kind: u32, name: u32, name_length: u32, id: u32| {
            answer(&mut c, HostCall::DefineMetric, |c| {
                let name = read(c, Slice(name, name_length))?;
                let name = String::from_utf8_lossy(&name).into_owned();
                let defined = c.data().process.borrow_mut().metrics.define(kind, name)?;
                write_u32(c, id, defined)
            })
        },
    )?;
    l.func_wrap("env", HostCall::IncrementMetric.name(), |mut c: Caller<'_, Guest>, id: u32, by: i64| {
        answer(&mut c, HostCall::IncrementMetric, |c| {
            Ok(c.data().process.borrow_mut().metrics.increment(id, by)?)
        })
    })?;
    l.func_wrap("env", HostCall::RecordMetric.name(), |mut c: Caller<'_, Guest>, id: u32, number: u64| {
        answer(&mut c, HostCall::RecordMetric, |c| {
            Ok(c.data().process.borrow_mut().metrics.record(id, number)?)
        })
    })?;
    l.func_wrap("env", HostCall::GetMetric.name(), |mut c: Caller<'_, Guest>, id: u32, value: u32| {
        answer(&mut c, HostCall::GetMetric, |c| {
            let number = c.data().process.borrow_mut().metrics.read(id)?;
            write_u64(c, value, number)
        })
    })?;
    Ok(())
}

/// Configuration, properties, time, logging.
fn surroundings(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        HostCall::GetBufferBytes.name(),
        |mut c: Caller<'_, Guest>, kind: u32, start: u32, wanted: u32, pointer: u32, length: u32| {
            answer(&mut c, HostCall::GetBufferBytes, |c| {
                let buffer = buffer(c.data_mut(), BufferKind::parse(kind)).ok_or(Status::NotFound)?;
                let start = start as usize;
                let end = start.saturating_add(wanted as usize).min(buffer.len());
                match buffer.get(start..end) {
                    Some(bytes) => hand_over(c, bytes, pointer, length),
                    None => Err(Status::BadArgument.into()),
                }
            })
        },
    )?;
    l.func_wrap(
        "env",
        HostCall::GetProperty.name(),
        |mut c: Caller<'_, Guest>, path: u32, path_length: u32, pointer: u32, length: u32| {
            answer(&mut c, HostCall::GetProperty, |c| {
                let path = read(c, Slice(path, path_length))?;
                let guest = c.data_mut();
                let of_stream = guest
                    .current_stream()
                    .and_then(|stream| stream.properties.get(&path))
                    .map(<[u8]>::to_vec);
                let of_node = || guest.process.borrow().properties.get(&path).map(<[u8]>::to_vec);
                let of_plugin = || guest.property_of_plugin(&path);
                let value = of_stream.or_else(of_node).or_else(of_plugin).ok_or(Status::NotFound)?;
                hand_over(c, &value, pointer, length)
            })
        },
    )?;
    l.func_wrap(
        "env",
        HostCall::SetProperty.name(),
        |mut c: Caller<'_, Guest>, path: u32, path_length: u32, value: u32, value_length: u32| {
            answer(&mut c, HostCall::SetProperty, |c| {
                let path = read(c, Slice(path, path_length))?;
                let value = read(c, Slice(value, value_length))?;
                let stream = c.data_mut().current_stream().ok_or(Status::BadArgument)?;
                stream.properties.set_raw(path, value);
                Ok(())
            })
        },
    )?;
    l.func_wrap("env", HostCall::GetCurrentTimeNanoseconds.name(), |mut c: Caller<'_, Guest>, time: u32| {
        answer(&mut c, HostCall::GetCurrentTimeNanoseconds, |c| {
            let now = c.data().process.borrow().now_ns;
            write_u64(c, time, now)
        })
    })?;
    l.func_wrap(
        "env",
        HostCall::Log.name(),
        |mut c: Caller<'_, Guest>, _level: u32, text: u32, length: u32| {
            answer(&mut c, HostCall::Log, |c| {
                let text = read(c, Slice(text, length))?;
                c.data().process.borrow_mut().log.push(String::from_utf8_lossy(&text).into_owned());
                Ok(())
            })
        },
    )?;
    l.func_wrap("env", HostCall::GetLogLevel.name(), |mut c: Caller<'_, Guest>, level: u32| {
        answer(&mut c, HostCall::GetLogLevel, |c| write_u32(c, level, LOG_LEVEL_WARN))
    })?;
    Ok(())
}

/// What changes the course of a stream or a plugin.
fn control(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        HostCall::SetTickPeriodMilliseconds.name(),
        |mut c: Caller<'_, Guest>, period: u32| {
            answer(&mut c, HostCall::SetTickPeriodMilliseconds, |c| {
                let now_ns = c.data().process.borrow().now_ns;
                let period_ns = u64::from(period) * 1_000_000;
                let plugin = c.data_mut().current_plugin().ok_or(Status::BadArgument)?;
                plugin.tick = (period > 0).then_some(Tick { period_ns, due_ns: now_ns + period_ns });
                Ok(())
            })
        },
    )?;
    l.func_wrap(
        "env",
        HostCall::SendLocalResponse.name(),
        |mut c: Caller<'_, Guest>,
         status: u32,
         details: u32,
         details_length: u32,
         body: u32,
         body_length: u32,
         pairs: u32,
         pairs_length: u32,
         grpc_status: i32| {
            answer(&mut c, HostCall::SendLocalResponse, |c| {
                let details = read(c, Slice(details, details_length))?;
                let body = read(c, Slice(body, body_length))?;
                let pairs = read(c, Slice(pairs, pairs_length))?;
                let headers = HeaderMap::parse(&pairs).ok_or_else(|| trap("malformed header pairs"))?;
                headers::check(&headers)?;
                let stream = c.data_mut().current_stream().ok_or(Status::BadArgument)?;
                let details = String::from_utf8_lossy(&details).into_owned();
                stream.local_response = Some(LocalResponse { status, details, body, headers, grpc_status });
                Ok(())
            })
        },
    )?;
    l.func_wrap("env", HostCall::SetEffectiveContext.name(), |mut c: Caller<'_, Guest>, context: u32| {
        answer(&mut c, HostCall::SetEffectiveContext, |c| {
            let guest = c.data_mut();
            if !guest.contexts.contains_key(&context) {
                return Err(Status::BadArgument.into());
            }
            guest.current = context;
            Ok(())
        })
    })?;
    l.func_wrap("env", HostCall::Done.name(), |mut c: Caller<'_, Guest>| {
        answer(&mut c, HostCall::Done, |_| Ok(()))
    })?;
    Ok(())
}

/// Counts a call, makes it, and turns its end into what the filter sees.
fn answer(
    caller: &mut Caller<'_, Guest>,
    call: HostCall,
    make: impl FnOnce(&mut Caller<'_, Guest>) -> Answer,
) -> wasmtime::Result<u32> {
    caller.data_mut().cost.count(call);
    match make(caller) {
        Ok(()) => Ok(0),
        Err(Fault::Status(status)) => Ok(status as u32),
        Err(Fault::Trap(error)) => Err(error),
    }
}

fn buffer(guest: &mut Guest, kind: BufferKind) -> Option<Vec<u8>> {
    match kind {
        BufferKind::VmConfiguration => Some(guest.options.vm_configuration.clone()),
        BufferKind::PluginConfiguration => {
            guest.current_plugin()?.configuration.as_deref().map(<[u8]>::to_vec)
        }
        BufferKind::Absent => None,
    }
}

fn trap(message: &str) -> Fault {
    Fault::Trap(wasmtime::Error::msg(message.to_owned()))
}
