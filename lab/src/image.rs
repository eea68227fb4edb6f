//! Container images out of files, written as `docker save` writes them: no container engine is involved.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::error::{LabError, file};
use crate::program;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    name: String,
    entrypoint: String,
    user: Option<String>,
    base: Option<PathBuf>,
    files: Vec<ImageFile>,
    /// As `KEY=VALUE`.
    env: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ImageFile {
    from: PathBuf,
    to: String,
    mode: u32,
}

impl ImageSpec {
    /// An empty image of this name and tag, which starts this program.
    #[must_use]
    pub fn new(name: &str, entrypoint: &str) -> Self {
        Self {
            name: name.into(),
            entrypoint: entrypoint.into(),
            user: None,
            base: None,
            files: Vec::new(),
            env: Vec::new(),
        }
    }

    /// With a program: a file of this machine, at an absolute path of the image.
    #[must_use]
    pub fn file(mut self, from: impl Into<PathBuf>, to: &str) -> Self {
        self.files.push(ImageFile { from: from.into(), to: to.into(), mode: 0o755 });
        self
    }

    /// With a variable in the program's environment, as `KEY=VALUE`.
    #[must_use]
    pub fn env(mut self, variable: &str) -> Self {
        self.env.push(variable.into());
        self
    }

    pub(crate) fn data(mut self, from: impl Into<PathBuf>, to: &str) -> Self {
        self.files.push(ImageFile { from: from.into(), to: to.into(), mode: 0o644 });
        self
    }

    /// On a layer that exists, an uncompressed tar.
    pub(crate) fn on(mut self, base: &Path) -> Self {
        self.base = Some(base.into());
        self
    }

    pub(crate) fn user(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }
}

/// Writes images into one archive. A layer that several share is in it once.
pub(crate) fn write_archive(images: &[ImageSpec], archive: &Path) -> Result<(), LabError> {
    let beside = archive.parent().unwrap_or(archive);
    let scratch = tempfile::tempdir_in(beside).map_err(file("create a directory in", beside))?;
    let mut layers = Layers { scratch: scratch.path(), known: Vec::new() };
    let mut manifest = Vec::new();
    let mut configs = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let own = layers.of_files(&image.files)?;
        let base = image.base.as_deref().map(|base| layers.of_tar(base)).transpose()?;
        let of_image: Vec<&Layer> = base.into_iter().chain([own]).map(|at| &layers.known[at]).collect();
        let config = format!("config-{number}.json");
        manifest.push(json!({
            "Config": config,
            "RepoTags": [image.name],
            "Layers": of_image.iter().map(|layer| layer.name()).collect::<Vec<_>>(),
        }));
        configs.push((config, image_config(image, &of_image)));
    }
    write_tar(archive, |tar| {
        for (name, config) in &configs {
            append_text(tar, name, &config.to_string())?;
        }
        for layer in &layers.known {
            tar.append_path_with_name(&layer.path, layer.name())?;
        }
        append_text(tar, "manifest.json", &json!(manifest).to_string())
    })
}

fn image_config(image: &ImageSpec, layers: &[&Layer]) -> serde_json::Value {
    let digests: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.sha256)).collect();
    let env: Vec<&str> = std::iter::once(PATH).chain(image.env.iter().map(String::as_str)).collect();
    let mut config = json!({"Entrypoint": [image.entrypoint], "Env": env});
    if let Some(user) = &image.user {
        config["User"] = json!(user);
    }
    json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": layers.iter().map(|_| json!({"created_by": "canary-lab"})).collect::<Vec<_>>(),
    })
}

struct Layer {
    made_of: LayerSource,
    path: PathBuf,
    sha256: String,
}

#[derive(PartialEq, Eq)]
enum LayerSource {
    Files(Vec<ImageFile>),
    Tar,
}

impl Layer {
    fn name(&self) -> String {
        format!("{}/layer.tar", self.sha256)
    }
}

/// The layers of one archive.
struct Layers<'a> {
    scratch: &'a Path,
    known: Vec<Layer>,
}

impl Layers<'_> {
    fn of_files(&mut self, files: &[ImageFile]) -> Result<usize, LabError> {
        let made_of = LayerSource::Files(files.to_vec());
        if let Some(known) = self.known.iter().position(|layer| layer.made_of == made_of) {
            return Ok(known);
        }
        let path = self.scratch.join(format!("layer-{}.tar", self.known.len()));
        write_tar(&path, |tar| append_files(tar, files))?;
        self.add(made_of, path)
    }

    fn of_tar(&mut self, path: &Path) -> Result<usize, LabError> {
        match self.known.iter().position(|layer| layer.path == path) {
            Some(known) => Ok(known),
            None => self.add(LayerSource::Tar, path.to_owned()),
        }
    }

    fn add(&mut self, made_of: LayerSource, path: PathBuf) -> Result<usize, LabError> {
        let sha256 = sha256(&path)?;
        self.known.push(Layer { made_of, path, sha256 });
        Ok(self.known.len() - 1)
    }
}

/// Coreutils' program: layers are hundreds of megabytes, and a debug build of a hash takes minutes for them.
fn sha256(path: &Path) -> Result<String, LabError> {
    let said = program::capture(Command::new("sha256sum").arg("--zero").arg(path))?;
    let digest = said.split(' ').next().filter(|digest| digest.len() == 64);
    let problem = || LabError::Content { path: path.into(), problem: format!("sha256sum says {said:?}") };
    digest.map(str::to_owned).ok_or_else(problem)
}

type Tar = tar::Builder<File>;

fn write_tar(path: &Path, fill: impl FnOnce(&mut Tar) -> std::io::Result<()>) -> Result<(), LabError> {
    let write = || {
        let mut tar = tar::Builder::new(File::create(path)?);
        // Times and owners of this machine are nobody's concern: the same files make the same layer.
        tar.mode(tar::HeaderMode::Deterministic);
        fill(&mut tar)?;
        tar.finish()
    };
    write().map_err(file("write", path))
}

fn append_files(tar: &mut Tar, files: &[ImageFile]) -> std::io::Result<()> {
    let mut made: Vec<&str> = Vec::new();
    for ImageFile { from, to, mode } in files {
        let to = to.trim_start_matches('/');
        for (end, _) in to.match_indices('/') {
            let directory = &to[..end];
            if !made.contains(&directory) {
                made.push(directory);
                let mut header = header(tar::EntryType::Directory, 0o755, 0);
                tar.append_data(&mut header, directory, std::io::empty())?;
            }
        }
        let opened = File::open(from)?;
        let mut header = header(tar::EntryType::Regular, *mode, opened.metadata()?.len());
        tar.append_data(&mut header, to, opened)?;
    }
    Ok(())
}

fn append_text(tar: &mut Tar, name: &str, text: &str) -> std::io::Result<()> {
    let mut header = header(tar::EntryType::Regular, 0o644, text.len() as u64);
    tar.append_data(&mut header, name, text.as_bytes())
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests;
