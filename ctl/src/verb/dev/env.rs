//! `canaryctl dev env`: a workload's environment, for a process on this machine.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use crate::cluster::Cluster;
use crate::develop::environment::Format;
use crate::develop::workload::{self, Container, Which};
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
    /// Write the files that the container has of ConfigMaps and Secrets below this folder, by their paths there, for its
    /// owner's eyes alone.
    #[arg(long, value_name = "FOLDER")]
    files: Option<PathBuf>,
}

pub(super) async fn run(args: &EnvArgs, cluster: &Cluster) -> Result<(), Failure> {
    let container = Container::read(cluster, &args.workload, &args.which).await?;
    let environment = container.environment(cluster).await?;
    if let Some(folder) = &args.files {
        let found = container.files(cluster).await?;
        workload::tell_left_out(&found.left_out);
        for (path, bytes) in &found.files {
            let file = below(folder, path)?;
            let written = file.parent().map_or(Ok(()), make).and_then(|()| write(&file, bytes));
            written.map_err(|error| {
                Failure::new(Code::Failed, format!("cannot write {}: {error}", file.display()))
            })?;
        }
        let count = found.files.len();
        anstream::eprintln!("{count} files of {} below {}", args.workload, folder.display());
    }
    workload::tell_left_out(&environment.left_out);
    let text = args.output.write(&environment);
    match &args.file {
        None => anstream::print!("{text}"),
        Some(file) => {
            write(file, text.as_bytes()).map_err(|error| {
                Failure::new(Code::Failed, format!("cannot write {}: {error}", file.display()))
            })?;
            let count = environment.variables().len();
            anstream::println!("{count} variables of {} in {}", args.workload, file.display());
        }
    }
    Ok(())
}

/// Where a file of the container is written, which is below the folder whatever its path says.
fn below(folder: &Path, path: &str) -> Result<PathBuf, Failure> {
    let relative = Path::new(path.trim_start_matches('/'));
    let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || relative.as_os_str().is_empty() {
        return Err(Failure::new(Code::Failed, format!("a file of the container is called {path}")));
    }
    Ok(folder.join(relative))
}

/// Makes a folder and those above it; new ones are their owner's alone.
fn make(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The whole file or none of it, and nobody else reads it at any time: new files have the mode 0600.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
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
        write(&file, b"A=1\n").expect("written");
        assert_eq!(fs::read_to_string(&file).expect("read"), "A=1\n");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn files_of_a_container_stay_below_their_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = below(folder.path(), "/etc/cart/a.toml").expect("a path");
        make(file.parent().expect("a folder")).expect("made");
        write(&file, b"x").expect("written");
        assert_eq!(fs::read(folder.path().join("etc/cart/a.toml")).expect("read"), b"x");
        let mode = fs::metadata(folder.path().join("etc")).expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        for path in ["/", "/../a", "/a/../../b"] {
            below(folder.path(), path).expect_err(path);
        }
    }
}
