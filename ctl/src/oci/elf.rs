//! What a program needs of the system that it runs on.

use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// Why a program cannot be all there is in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Needs {
    /// It is no program of Linux on 64 bits.
    #[error("it is no program of 64-bit Linux")]
    Another,
    /// It wants shared libraries.
    #[error("it needs shared libraries, which its image would not have")]
    Libraries,
    /// It is of a kind of processor that is not known here.
    #[error("its kind of processor is not known here (ELF machine {0})")]
    Processor(u16),
}

/// The architecture of a static program, as images call it: `amd64` or `arm64`.
///
/// # Errors
/// When the program is not static, or not of a known kind.
pub fn architecture(program: &[u8]) -> Result<&'static str, Needs> {
    let header = FileHeader64::<object::Endianness>::parse(program).map_err(|_| Needs::Another)?;
    let endian = header.endian().map_err(|_| Needs::Another)?;
    let segments = header.program_headers(endian, program).map_err(|_| Needs::Another)?;
    if segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP) {
        return Err(Needs::Libraries);
    }
    match header.e_machine(endian) {
        EM_X86_64 => Ok("amd64"),
        EM_AARCH64 => Ok("arm64"),
        other => Err(Needs::Processor(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_program() {
        assert_eq!(architecture(b"#!/bin/sh"), Err(Needs::Another));
    }

    #[test]
    fn a_program_with_libraries_is_refused() {
        let own = std::fs::read("/bin/sh").expect("every Linux has a shell");
        assert_eq!(architecture(&own), Err(Needs::Libraries));
    }
}
