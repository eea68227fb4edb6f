//! Our side of the namespace: starts the program's process, takes its device, and lets it go when all is ready.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::develop::device::door::take;
use crate::failure::{Code, Failure};

/// The verb of canaryctl that is the program's side.
pub(super) const VERB: &str = "netns";

/// A program that waits in its namespace to be run.
pub struct Prepared {
    child: Child,
    door: UnixStream,
    /// The other end of the namespace's only way out.
    pub device: OwnedFd,
    _folder: TempDir,
}

/// A program that runs.
pub struct Running {
    child: Child,
    _folder: TempDir,
}

impl Prepared {
    /// Makes the namespace, with these variables for the program beside our own. Must be called by a thread that lives as
    /// long as the program: it dies with it.
    ///
    /// # Errors
    /// When the system does not allow it; it is said already then.
    pub async fn new(
        command: &[OsString],
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::new(Code::Failed, format!("cannot make a namespace: {error}"));
        let folder = TempDir::with_prefix("canaryctl-").map_err(failed)?;
        let place = folder.path().join("door");
        let listener = UnixListener::bind(&place).map_err(failed)?;
        let own = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(own)
            .arg(VERB)
            .arg(&place)
            .arg("--")
            .args(command)
            .envs(variables)
            .spawn()
            .map_err(failed)?;
        let taken = async {
            let (door, _) = listener.accept().await?;
            let device = take(&door).await?;
            io::Result::Ok((door, device))
        };
        let (door, device) = tokio::select! {
            taken = taken => match taken {
                Ok(taken) => taken,
                // It has said why.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let _ = child.wait().await;
                    return Err(Failure::silent(Code::Failed));
                }
                Err(error) => return Err(failed(error)),
            },
            _ = child.wait() => return Err(Failure::silent(Code::Failed)),
        };
        Ok(Self { child, door, device, _folder: folder })
    }

    /// Lets the program run; the device's other end is whose that is by now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn go(self) -> Result<(Running, OwnedFd), Failure> {
        let gone = |error: io::Error| Failure::new(Code::Failed, format!("the program is gone: {error}"));
        let mut door = self.door.into_std().map_err(gone)?;
        door.write_all(&[0]).map_err(gone)?;
        Ok((Running { child: self.child, _folder: self._folder }, self.device))
    }
}

impl Running {
    /// Its process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end, and says it as shells do.
    ///
    /// # Errors
    /// When the system does not say.
    pub async fn ended(&mut self) -> io::Result<u8> {
        Ok(code(self.child.wait().await?))
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
