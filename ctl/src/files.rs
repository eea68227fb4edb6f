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
    let stdin = path == Path::new("-");
    let name = if stdin { "<stdin>".to_string() } else { path.display().to_string() };
    let mut text = String::new();
    let read = if stdin {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)).map(drop)
    };
    match read {
        Ok(()) => Ok(Source { name, text }),
        Err(error) => Err(Failure::new(Code::Failed, format!("cannot read {name}: {error}"))
            .help("give a Lane file, or `-f -` for standard input")),
    }
}
