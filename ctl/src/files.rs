//! Lane files named on the command line: `-f FILE`, repeated, `-` for standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use canary_rules::document::{self, Documents, Source};

use crate::failure::{Code, Failure};

/// Reads and compiles the files together, as one set of lanes.
///
/// # Errors
/// A file that cannot be read, or every fault in what was read.
pub fn read(paths: &[PathBuf]) -> Result<Documents, Failure> {
    let sources = paths.iter().map(|path| source(path)).collect::<Result<Vec<_>, _>>()?;
    document::read(&sources).map_err(|faults| Failure::list(Code::Documents, faults))
}

fn source(path: &Path) -> Result<Source, Failure> {
    let help = "give a Lane file, or `-f -` for standard input";
    let (name, bytes) = bytes(path).map_err(|failure| failure.help(help))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(Failure::new(Code::Failed, format!("cannot read {name}: {error}")).help(help)),
    }
}

/// A file's name for people, and what is in it; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn bytes(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "<stdin>".to_string() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let read = match is_stdin {
        true => std::io::stdin().read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok((name, bytes)),
        Err(error) => Err(Failure::new(Code::Failed, format!("cannot read {name}: {error}"))),
    }
}
