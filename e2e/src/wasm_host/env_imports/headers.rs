//! The calls on header maps.

use wasmtime::{Caller, Linker};

use super::{Answer, answer, trap};
use crate::wasm_host::HeaderMap;
use crate::wasm_host::abi::{HostCall, MapKind, Status};
use crate::wasm_host::guest_memory::{Fault, Slice, hand_over, read};
use crate::wasm_host::vm::Guest;

pub(super) fn offer(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        HostCall::GetHeaderMapPairs.name(),
        |mut c: Caller<'_, Guest>, map: u32, pointer: u32, length: u32| {
            answer(&mut c, HostCall::GetHeaderMapPairs, |c| {
                // Sic: a map that is out of reach reads as an empty one here, and only here.
                let bytes = match map_of(c, map)? {
                    Some(map) if map.len() > 0 => map.serialise(),
                    _ => Vec::new(),
                };
                hand_over(c, &bytes, pointer, length)
            })
        },
    )?;
    l.func_wrap(
        "env",
        HostCall::GetHeaderMapValue.name(),
        |mut c: Caller<'_, Guest>, map: u32, name: u32, name_length: u32, pointer: u32, length: u32| {
            answer(&mut c, HostCall::GetHeaderMapValue, |c| {
                let name = read(c, Slice(name, name_length))?;
                let map = map_of(c, map)?.ok_or(Status::BadArgument)?;
                let value = map.first(&String::from_utf8_lossy(&name)).ok_or(Status::NotFound)?.to_vec();
                hand_over(c, &value, pointer, length)
            })
        },
    )?;
    for (call, change) in [
        (HostCall::AddHeaderMapValue, HeaderMap::add as fn(&mut HeaderMap, &[u8], &[u8])),
        (HostCall::ReplaceHeaderMapValue, HeaderMap::replace),
    ] {
        l.func_wrap(
            "env",
            call.name(),
            move |mut c: Caller<'_, Guest>,
                  map: u32,
                  name: u32,
                  name_length: u32,
                  value: u32,
                  value_length: u32| {
                answer(&mut c, call, |c| {
                    let name = read(c, Slice(name, name_length))?;
                    let value = read(c, Slice(value, value_length))?;
                    check_line(&name, &value)?;
                    changed(c, map, |map| change(map, &name, &value))
                })
            },
        )?;
    }
    l.func_wrap(
        "env",
        HostCall::RemoveHeaderMapValue.name(),
        |mut c: Caller<'_, Guest>, map: u32, name: u32, name_length: u32| {
            answer(&mut c, HostCall::RemoveHeaderMapValue, |c| {
                let name = read(c, Slice(name, name_length))?;
                changed(c, map, |map| map.remove(&name))
            })
        },
    )?;
    l.func_wrap(
        "env",
        HostCall::SetHeaderMapPairs.name(),
        |mut c: Caller<'_, Guest>, map: u32, pairs: u32, length: u32| {
            answer(&mut c, HostCall::SetHeaderMapPairs, |c| {
                let pairs = read(c, Slice(pairs, length))?;
                let pairs = HeaderMap::parse(&pairs).ok_or_else(|| trap("malformed header pairs"))?;
                check(&pairs)?;
                changed(c, map, |map| *map = pairs)
            })
        },
    )?;
    Ok(())
}

/// The map of the current stream, if this is the callback that it is in reach of.
fn map_of<'a>(caller: &'a mut Caller<'_, Guest>, number: u32) -> Result<Option<&'a mut HeaderMap>, Fault> {
    let kind = MapKind::parse(number)?;
    let Some(stream) = caller.data_mut().current_stream() else { return Ok(None) };
    Ok(match kind {
        MapKind::Request => stream.request.as_mut(),
        MapKind::Response => stream.response.as_mut(),
        MapKind::Absent => None,
    })
}

/// Changes a map. A module of this ABI has the route chosen anew after each change of a request's headers.
fn changed(caller: &mut Caller<'_, Guest>, number: u32, change: impl FnOnce(&mut HeaderMap)) -> Answer {
    change(map_of(caller, number)?.ok_or(Status::BadArgument)?);
    if MapKind::parse(number)? == MapKind::Request
        && let Some(stream) = caller.data_mut().current_stream()
    {
        stream.route_cache_clears += 1;
    }
    Ok(())
}

/// Checks every line that a filter hands over at once.
pub(super) fn check(map: &HeaderMap) -> Answer {
    map.lines().iter().try_for_each(|(name, value)| check_line(name, value))
}

/// Envoy takes any bytes and then writes a broken message, or asserts in a debug build. No filter may do that,
/// so here it ends the VM.
fn check_line(name: &[u8], value: &[u8]) -> Answer {
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/;<=>?@[\\]{}".contains(byte);
    if name.is_empty() || !name.iter().all(is_token) {
        return Err(trap(&format!("a header must not be named {:?}", String::from_utf8_lossy(name))));
    }
    if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        let name = String::from_utf8_lossy(name);
        return Err(trap(&format!(
            "header {name} must not have the value {:?}",
            String::from_utf8_lossy(value)
        )));
    }
    Ok(())
}
