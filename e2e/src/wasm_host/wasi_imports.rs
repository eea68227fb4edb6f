//! The part of WASI preview 1 that Envoy offers, and no more: no files, no sockets, no arguments.
//!
//! Source: proxy-wasm-cpp-host `exports.cc`.

use wasmtime::{Caller, Linker};

use super::abi::HostCall;
use super::guest_memory::{Fault, Slice, read, write, write_u32, write_u64};
use super::vm::Guest;

const MODULE: &str = "wasi_snapshot_preview1";

const SUCCESS: u32 = 0;
const BAD_FILE: u32 = 8;
const BAD_ADDRESS: u32 = 21;
const INVALID: u32 = 28;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

pub(super) fn offer(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    l.func_wrap(
        MODULE,
        HostCall::WasiFdWrite.name(),
        |mut c: Caller<'_, Guest>, file: u32, slices: u32, count: u32, written: u32| {
            answer(&mut c, HostCall::WasiFdWrite, |c| fd_write(c, file, slices, count, written))
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiClockTimeGet.name(),
        |mut c: Caller<'_, Guest>, clock: u32, _precision: u64, time: u32| {
            answer(&mut c, HostCall::WasiClockTimeGet, |c| {
                // Realtime and monotonic; Envoy knows no other.
                if clock > 1 {
                    return Ok(INVALID);
                }
                let now = c.data().process.borrow().now_ns;
                write_u64(c, time, now).map(|()| SUCCESS)
            })
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiClockResGet.name(),
        |mut c: Caller<'_, Guest>, _clock: u32, resolution: u32| {
            answer(&mut c, HostCall::WasiClockResGet, |c| write_u64(c, resolution, 1).map(|()| SUCCESS))
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiRandomGet.name(),
        |mut c: Caller<'_, Guest>, address: u32, length: u32| {
            answer(&mut c, HostCall::WasiRandomGet, |c| random_get(c, Slice(address, length)))
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiEnvironSizesGet.name(),
        |mut c: Caller<'_, Guest>, count: u32, length: u32| {
            answer(&mut c, HostCall::WasiEnvironSizesGet, |c| {
                let variables = environment(c.data());
                write_u32(c, count, size(variables.len()))?;
                write_u32(c, length, size(variables.iter().map(Vec::len).sum())).map(|()| SUCCESS)
            })
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiEnvironGet.name(),
        |mut c: Caller<'_, Guest>, mut pointers: u32, mut text: u32| {
            answer(&mut c, HostCall::WasiEnvironGet, |c| {
                for variable in environment(c.data()) {
                    write_u32(c, pointers, text)?;
                    write(c, text, &variable)?;
                    pointers = pointers.wrapping_add(4);
                    text = text.wrapping_add(size(variable.len()));
                }
                Ok(SUCCESS)
            })
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiArgsSizesGet.name(),
        |mut c: Caller<'_, Guest>, count: u32, length: u32| {
            answer(&mut c, HostCall::WasiArgsSizesGet, |c| {
                write_u32(c, count, 0)?;
                write_u32(c, length, 0).map(|()| SUCCESS)
            })
        },
    )?;
    l.func_wrap(
        MODULE,
        HostCall::WasiArgsGet.name(),
        |mut c: Caller<'_, Guest>, _pointers: u32, _text: u32| {
            answer(&mut c, HostCall::WasiArgsGet, |_| Ok(SUCCESS))
        },
    )?;
    l.func_wrap(MODULE, HostCall::WasiSchedYield.name(), |mut c: Caller<'_, Guest>| {
        answer(&mut c, HostCall::WasiSchedYield, |_| Ok(SUCCESS))
    })?;
    l.func_wrap(MODULE, HostCall::WasiProcExit.name(), |mut c: Caller<'_, Guest>, code: u32| {
        c.data_mut().cost.count(HostCall::WasiProcExit);
        let result: wasmtime::Result<()> =
            Err(wasmtime::Error::msg(format!("the filter exited with code {code}")));
        result
    })?;
    Ok(())
}

fn answer(
    caller: &mut Caller<'_, Guest>,
    call: HostCall,
    make: impl FnOnce(&mut Caller<'_, Guest>) -> Result<u32, Fault>,
) -> wasmtime::Result<u32> {
    caller.data_mut().cost.count(call);
    match make(caller) {
        Ok(errno) => Ok(errno),
        Err(Fault::Status(_)) => Ok(BAD_ADDRESS),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// Both streams end in Envoy's log.
fn fd_write(
    c: &mut Caller<'_, Guest>,
    file: u32,
    slices: u32,
    count: u32,
    written: u32,
) -> Result<u32, Fault> {
    if !matches!(file, STDOUT | STDERR) {
        return Ok(BAD_FILE);
    }
    let mut text = Vec::new();
    for index in 0..count {
        let slice = read(c, Slice(slices.wrapping_add(index.wrapping_mul(8)), 8))?;
        let Some((address, length)) = slice.split_first_chunk::<4>() else { return Ok(BAD_ADDRESS) };
        let Some(length) = length.first_chunk::<4>() else { return Ok(BAD_ADDRESS) };
        text.extend(read(c, Slice(u32::from_le_bytes(*address), u32::from_le_bytes(*length)))?);
    }
    c.data().process.borrow_mut().log.push(String::from_utf8_lossy(&text).trim_end().to_owned());
    write_u32(c, written, size(text.len())).map(|()| SUCCESS)
}

/// Envoy hands out at most 64 KiB at once.
fn random_get(c: &mut Caller<'_, Guest>, Slice(address, length): Slice) -> Result<u32, Fault> {
    const LENGTH_MAX: u32 = 64 * 1024;
    if length > LENGTH_MAX {
        return Ok(INVALID);
    }
    let words = length.div_ceil(8);
    let mut bytes: Vec<u8> = {
        let mut process = c.data().process.borrow_mut();
        (0..words).flat_map(|_| process.random().to_le_bytes()).collect()
    };
    bytes.truncate(length as usize);
    write(c, address, &bytes).map(|()| SUCCESS)
}

/// `NAME=value` and a zero, each.
fn environment(guest: &Guest) -> Vec<Vec<u8>> {
    guest.options.environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
