//! The Go programs: Kubernetes, Istio, CoreDNS, Helm and the pause container, pinned by a go.mod and go.sum each.
//!
//! They are `tool` dependencies of modules of their own, for they share no versions. To move one to another
//! version: `go get -tool <package>@<version>` in its directory below `go/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::cache::{Cache, Recipe};
use crate::error::{LabError, file};
use crate::program;

/// How often a build says how far it is, in seconds.
const NEWS_EVERY_S: u64 = 15;

/// A module below `go/` and the programs to build in it.
pub(super) struct GoPrograms {
    name: &'static str,
    packages: &'static [&'static str],
    /// Flags of the linker: what the programs say when asked for their version.
    versions: &'static [&'static str],
    /// Files of a module that belong to the programs.
    data: &'static [Data],
}

/// A file that a program wants beside it.
struct Data {
    module: &'static str,
    path: &'static str,
}

pub(super) const KUBERNETES: GoPrograms = GoPrograms {
    name: "kubernetes",
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubelet",
        "k8s.io/kubernetes/cmd/kube-proxy",
        "k8s.io/kubernetes/cmd/kubectl",
    ],
    versions: &[
        "k8s.io/component-base/version.gitVersion=v1.34.4",
        "k8s.io/component-base/version.gitMajor=1",
        "k8s.io/component-base/version.gitMinor=34",
        "k8s.io/component-base/version.gitTreeState=clean",
    ],
    data: &[],
};

pub(super) const ISTIO: GoPrograms = GoPrograms {
    name: "istio",
    packages: &[
        "istio.io/istio/pilot/cmd/pilot-discovery",
        "istio.io/istio/pilot/cmd/pilot-agent",
        "istio.io/istio/istioctl/cmd/istioctl",
    ],
    versions: &[
        "istio.io/istio/pkg/version.buildVersion=1.31-alpha.eed52ebb66ad",
        "istio.io/istio/pkg/version.buildGitRevision=eed52ebb66ad",
        "istio.io/istio/pkg/version.buildStatus=Clean",
    ],
    data: &[Data { module: "istio.io/istio", path: "tools/packaging/common/envoy_bootstrap.json" }],
};

pub(super) const COREDNS: GoPrograms =
    GoPrograms { name: "coredns", packages: &["github.com/coredns/coredns"], versions: &[], data: &[] };

pub(super) const HELM: GoPrograms = GoPrograms {
    name: "helm",
    packages: &["helm.sh/helm/v3/cmd/helm"],
    versions: &["helm.sh/helm/v3/internal/version.version=v3.22.0"],
    data: &[],
};

pub(super) const PAUSE: GoPrograms = GoPrograms { name: "pause", packages: &["."], versions: &[], data: &[] };

impl GoPrograms {
    /// The directory of the built programs.
    pub(super) fn ensure(&self, cache: &Cache<'_>) -> Result<PathBuf, LabError> {
        let compiler = program::capture(self.go().args(["env", "GOVERSION", "GOARCH"]));
        let compiler = compiler.map_err(|error| match error {
            LabError::Start { .. } => LabError::Missing {
                program: "go",
                needed_for: "compiles Kubernetes, Istio and Helm (https://go.dev/dl)",
            },
            other => other,
        })?;
        let (versions, sources) = (self.versions.join(" "), self.sources()?);
        let packages = self.packages.join(" ");
        let mut made_from = vec![compiler.as_bytes(), packages.as_bytes(), versions.as_bytes()];
        made_from.extend(sources.iter().map(Vec::as_slice));
        let doing = format!("compiling {} programs", self.packages.len());
        cache.entry(&Recipe { name: self.name, doing: &doing, made_from: &made_from }, |entry| {
            self.build(cache, entry)?;
            self.data.iter().try_for_each(|data| self.copy(data, entry))
        })
    }

    fn build(&self, cache: &Cache<'_>, entry: &Path) -> Result<(), LabError> {
        let settings: String = self.versions.iter().map(|version| format!(" -X {version}")).collect();
        let mut go = self.go();
        go.args(["build", "-v"]).arg(format!("-ldflags=-s -w{settings}"));
        // With the separator the path names a directory, also for a single program.
        go.arg("-o").arg(entry.join("")).args(self.packages);
        let (started, mut compiled) = (Instant::now(), 0);
        let mut next_news = Duration::from_secs(NEWS_EVERY_S);
        program::watch(&mut go, cache.interrupt, |line| {
            // One line per package compiled, and per module fetched before that.
            compiled += u32::from(!line.starts_with("go: "));
            if started.elapsed() >= next_news {
                next_news = started.elapsed() + Duration::from_secs(NEWS_EVERY_S);
                let so_far = format!("{compiled} packages compiled after {} s", started.elapsed().as_secs());
                cache.progress.doing(self.name, &so_far);
            }
        })?;
        Ok(())
    }

    fn copy(&self, data: &Data, entry: &Path) -> Result<(), LabError> {
        let module = program::capture(self.go().args(["list", "-m", "-f", "{{.Dir}}", data.module]))?;
        let from = Path::new(module.trim()).join(data.path);
        let to = entry.join(from.file_name().unwrap_or_default());
        std::fs::copy(&from, &to).map_err(file("copy", &from))?;
        Ok(())
    }

    fn go(&self) -> Command {
        let mut go = Command::new("go");
        // Static programs: they run in images that hold nothing else.
        go.current_dir(self.directory()).env("CGO_ENABLED", "0").env("GOWORK", "off");
        go
    }

    fn directory(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(self.name)
    }

    /// The module's own files, in order of their names.
    fn sources(&self) -> Result<Vec<Vec<u8>>, LabError> {
        let directory = self.directory();
        let entries = std::fs::read_dir(&directory).map_err(file("list", &directory))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        let read = |path: &PathBuf| std::fs::read(path).map_err(file("read", path));
        files.iter().map(read).collect()
    }
}
