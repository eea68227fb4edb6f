//! Reading and writing a filter's memory from inside a host call.
//!
//! Whatever the host returns of variable length goes to memory that the filter allocates for it: every such call
//! enters the filter a second time, which is why calls that return bytes are the dear ones.

use wasmtime::{AsContext, AsContextMut, Caller};

use super::abi::Status;
use super::vm::Guest;

/// How a host call ends that does not end well.
#[derive(Debug)]
pub(super) enum Fault {
    /// The filter is told, by the call's result.
    Status(Status),
    /// The filter is stopped, and its VM with it.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

/// A piece of the filter's memory: address and length, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice(pub(super) u32, pub(super) u32);

pub(super) fn read(caller: &Caller<'_, Guest>, Slice(address, length): Slice) -> Result<Vec<u8>, Fault> {
    let memory = caller.data().memory().ok_or(Status::InvalidMemoryAccess)?;
    let start = address as usize;
    let end = start.saturating_add(length as usize);
    let bytes = memory.data(caller.as_context()).get(start..end).ok_or(Status::InvalidMemoryAccess)?;
    Ok(bytes.to_vec())
}

pub(super) fn write(caller: &mut Caller<'_, Guest>, address: u32, bytes: &[u8]) -> Result<(), Fault> {
    let memory = caller.data().memory().ok_or(Status::InvalidMemoryAccess)?;
    let written = memory.write(caller.as_context_mut(), address as usize, bytes);
    written.map_err(|_| Fault::Status(Status::InvalidMemoryAccess))
}

pub(super) fn write_u32(caller: &mut Caller<'_, Guest>, address: u32, number: u32) -> Result<(), Fault> {
    write(caller, address, &number.to_le_bytes())
}

pub(super) fn write_u64(caller: &mut Caller<'_, Guest>, address: u32, number: u64) -> Result<(), Fault> {
    write(caller, address, &number.to_le_bytes())
}

/// Puts `bytes` into memory that the filter allocates, and tells it where. Nothing is allocated for no bytes:
/// the filter sees a null pointer, and cannot tell an empty value from a removed one.
pub(super) fn hand_over(
    caller: &mut Caller<'_, Guest>,
    bytes: &[u8],
    pointer_at: u32,
    length_at: u32,
) -> Result<(), Fault> {
    let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
    let address = match length {
        0 => 0,
        _ => {
            let allocate = caller.data().allocate().ok_or(Status::InvalidMemoryAccess)?;
            let address = allocate.call(caller.as_context_mut(), length)?;
            write(caller, address, bytes)?;
            address
        }
    };
    write_u32(caller, pointer_at, address)?;
    write_u32(caller, length_at, length)
}
