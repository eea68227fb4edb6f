//! An image of one file: a layer, a configuration, a manifest. The same file gives the same bytes, and so the
//! same digest, on every machine.

use std::io::{Read, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Media types of the OCI image specification 1.1.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Where proxies look for a module in an image's last layer.
pub(super) const PLUGIN: &str = "plugin.wasm";
/// Where canaryctl is in its image.
const PROGRAM: &str = "canaryctl";
/// Nobody: the user that the program runs as.
const USER: &str = "65532:65532";
/// Largest file that is read out of a layer, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// An image, ready to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The layer: a tar, compressed.
    pub layer: Vec<u8>,
    /// The configuration, as JSON.
    pub config: Vec<u8>,
    /// The manifest, as JSON.
    pub manifest: Vec<u8>,
}

impl Image {
    /// The image of a Wasm module, as Istio's agent reads it.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn of_filter(wasm: &[u8]) -> std::io::Result<Self> {
        Self::of_file(PLUGIN, 0o644, wasm, json!({"architecture": "wasm", "os": "wasi", "config": {}}))
    }

    /// The image of canaryctl itself: a program that needs nothing else, run by nobody.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn of_program(program: &[u8], architecture: &str) -> std::io::Result<Self> {
        let run = json!({"Entrypoint": [format!("/{PROGRAM}")], "User": USER, "WorkingDir": "/"});
        let about = json!({"architecture": architecture, "os": "linux", "config": run});
        Self::of_file(PROGRAM, 0o755, program, about)
    }

    fn of_file(name: &str, mode: u32, content: &[u8], mut config: Value) -> std::io::Result<Self> {
        let tar = tar(name, mode, content)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&tar)?;
        let layer = gzip.finish()?;
        config["rootfs"] = json!({"type": "layers", "diff_ids": [digest(&tar)]});
        let config = config.to_string().into_bytes();
        let described = |media_type: &str, content: &[u8]| json!({"mediaType": media_type, "digest": digest(content), "size": content.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, &config),
            "layers": [described(LAYER, &layer)],
        });
        Ok(Self { layer, config, manifest: manifest.to_string().into_bytes() })
    }

    /// The digest by which it is pulled: `sha256:…`.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// The image as an archive that `ctr images import`, `docker load` and `kind load` take.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn archive(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": MANIFEST, "digest": self.digest(), "size": self.manifest.len(),
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rsplit_once(':').map_or("latest", |(_, tag)| tag),
                },
            }],
        });
        let blob = |content: &[u8]| format!("blobs/sha256/{}", hex(content));
        // A docker without containerd's store reads this alone; others prefer the index.
        let docker = json!([{
            "Config": blob(&self.config), "RepoTags": [name], "Layers": [blob(&self.layer)],
        }]);
        let mut archive = tar::Builder::new(Vec::new());
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        for (path, content) in [
            ("oci-layout".to_owned(), &layout[..]),
            ("index.json".to_owned(), index.to_string().as_bytes()),
            ("manifest.json".to_owned(), docker.to_string().as_bytes()),
            (blob(&self.manifest), &self.manifest),
            (blob(&self.config), &self.config),
            (blob(&self.layer), &self.layer),
        ] {
            archive.append_data(&mut header(0o644, content), path, content)?;
        }
        archive.into_inner()
    }
}

/// A file out of a layer.
///
/// # Errors
/// When the layer is none, has no such file, or one of more than 256 MiB.
pub(super) fn file_in(layer: &[u8], name: &str) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Archive::new(GzDecoder::new(layer));
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.path()?.to_str().map(|path| path.trim_start_matches("./")) == Some(name) {
            return whole(entry);
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::NotFound, format!("its layer has no {name}")))
}

fn whole(mut entry: tar::Entry<impl Read>) -> std::io::Result<Vec<u8>> {
    let size = entry.size();
    if size > FILE_BYTES_MAX {
        let more = format!("its file is of {size} bytes, and {FILE_BYTES_MAX} are the limit");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, more));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content)?;
    Ok(content)
}

fn tar(name: &str, mode: u32, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header(mode, content), name, content)?;
    builder.into_inner()
}

/// A file's header without anything of the machine or the moment.
fn header(mode: u32, content: &[u8]) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// `sha256:…` of a content.
#[must_use]
pub(super) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(content))
}

pub(super) fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_same_module_gives_the_same_image() {
        let (one, two) = (Image::of_filter(b"\0asm1"), Image::of_filter(b"\0asm1"));
        assert_eq!(one.expect("an image"), two.expect("an image"));
        let other = Image::of_filter(b"\0asm2").expect("an image");
        assert_ne!(other.digest(), Image::of_filter(b"\0asm1").expect("an image").digest());
    }

    #[test]
    fn a_module_is_found_in_its_layer() {
        let image = Image::of_filter(b"\0asm1").expect("an image");
        assert_eq!(file_in(&image.layer, PLUGIN).expect("a file"), b"\0asm1");
        let error = file_in(&image.layer, "other").expect_err("no such file");
        assert_eq!(error.to_string(), "its layer has no other");
        file_in(b"no gzip", PLUGIN).expect_err("no layer");
    }

    #[test]
    fn an_archive_names_the_same_image_to_containerd_and_to_docker() {
        let image = Image::of_program(b"elf", "amd64").expect("an image");
        let archive = image.archive("r.example/canaryctl:1").expect("an archive");
        let files: HashMap<String, Vec<u8>> = tar::Archive::new(&archive[..])
            .entries()
            .expect("a tar")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let path = entry.path().expect("a path").display().to_string();
                (path, whole(entry).expect("a file"))
            })
            .collect();
        let json = |path: &str| serde_json::from_slice::<Value>(&files[path]).expect("JSON");
        assert_eq!(json("index.json")["manifests"][0]["digest"], image.digest());
        let docker = &json("manifest.json")[0];
        assert_eq!(docker["RepoTags"], json!(["r.example/canaryctl:1"]));
        assert_eq!(files[docker["Config"].as_str().expect("a path")], image.config);
        assert_eq!(files[docker["Layers"][0].as_str().expect("a path")], image.layer);
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_and_not_cut() {
        let mut large = header(0o644, b"");
        large.set_size(FILE_BYTES_MAX + 1);
        large.set_path(PLUGIN).expect("a short name");
        large.set_cksum();
        let mut layer = GzEncoder::new(Vec::new(), Compression::fast());
        layer.write_all(large.as_bytes()).expect("memory");
        let error = file_in(&layer.finish().expect("memory"), PLUGIN).expect_err("too large");
        assert_eq!(error.to_string(), "its file is of 268435457 bytes, and 268435456 are the limit");
    }

    #[test]
    fn the_program_runs_as_nobody() {
        let image = Image::of_program(b"elf", "amd64").expect("an image");
        let config: Value = serde_json::from_slice(&image.config).expect("JSON");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/canaryctl"]));
        assert_eq!(config["architecture"], "amd64");
    }

    #[test]
    fn the_manifest_describes_what_is_there() {
        let image = Image::of_filter(b"\0asm1").expect("an image");
        let manifest: Value = serde_json::from_slice(&image.manifest).expect("JSON");
        assert_eq!(manifest["layers"][0]["digest"], digest(&image.layer));
        assert_eq!(manifest["config"]["size"], image.config.len());
    }
}
