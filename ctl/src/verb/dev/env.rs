//! `canaryctl dev env`: a workload's environment, for a process on this machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cluster::Cluster;
use crate::develop::environment::Format;
use crate::develop::workload::{self, Which};
use crate::failure::{Code, Failure};

/// The arguments of `env`.
#[derive(Debug, clap::Args)]
pub struct EnvArgs {
    /// A Deployment, or statefulset/NAME, daemonset/NAME, pod/NAME.
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    #[command(flatten)]
    which: Which,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// Write it to this file, for its owner's eyes alone.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(args: &EnvArgs, cluster: &Cluster) -> Result<(), Failure> {
    let environment = workload::environment(cluster, &args.workload, &args.which).await?;
    workload::tell_left_out(&environment);
    let text = args.output.write(&environment);
    match &args.file {
        None => anstream::print!("{text}"),
        Some(file) => {
            write(file, &text).map_err(|error| {
                Failure::new(Code::Failed, format!("cannot write {}: {error}", file.display()))
            })?;
            let count = environment.variables().len();
            anstream::println!("{count} variables of {} in {}", args.workload, file.display());
        }
    }
    Ok(())
}

/// The whole file or none of it, and nobody else reads it at any time: new files have the mode 0600.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_its_owners_even_where_it_was_everybodys() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(".env");
        fs::write(&file, "before").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
        write(&file, "A=1\n").expect("written");
        assert_eq!(fs::read_to_string(&file).expect("read"), "A=1\n");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }
}
