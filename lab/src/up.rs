//! Starting a lab: everything in its order, or nothing left behind.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::build::Inputs;
use crate::component::{
    Component, Running, apiserver, containerd, controller_manager, coredns, etcd, kube_proxy, kubelet,
    registry, scheduler,
};
use crate::error::{LabError, file};
use crate::image::ImageSpec;
use crate::interrupt::Interrupt;
use crate::lab::{Lab, require_root};
use crate::name::LabName;
use crate::progress::Progress;
use crate::{istio, network};

/// What the caller brings.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The Envoy that sidecars and gateways run.
    pub envoy: PathBuf,
    /// Images that pods can use, besides Istio's.
    pub images: Vec<ImageSpec>,
    /// Programs that commands in the lab find by their names.
    pub programs: Vec<PathBuf>,
}

/// Builds what is not built yet, and starts a lab.
///
/// # Errors
/// When there is a lab of this name, something cannot be built, or a component does not get ready; then, and
/// when interrupted, nothing is left of it.
pub fn up(
    name: &LabName,
    setup: &Setup,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Lab, LabError> {
    require_root()?;
    let lab = Lab::named(name);
    if Lab::running(name).is_ok() && !lab.group.processes().is_empty() {
        return Err(LabError::Exists { name: name.clone() });
    }
    let inputs = Inputs::ensure(&setup.envoy, progress, interrupt)?;
    let _lock = lab.lock()?;
    if lab.has_remains() {
        progress.doing(name.as_str(), "removing what an unfinished run left");
        lab.clear()?;
        // The directory that the lock is on has to be there while others could want it.
        std::fs::create_dir_all(lab.paths.root()).map_err(file("create", lab.paths.root()))?;
    }
    let undo = Undo(Some(&lab));
    start(&lab, &inputs, setup, &Watch { progress, interrupt })?;
    undo.forget();
    Ok(lab)
}

/// Who watches a start.
#[derive(Clone, Copy)]
struct Watch<'a> {
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

fn start(lab: &Lab, inputs: &Inputs, setup: &Setup, watch: &Watch<'_>) -> Result<(), LabError> {
    for directory in [lab.paths.at("logs"), lab.paths.processes(), lab.paths.programs()] {
        std::fs::create_dir_all(&directory).map_err(file("create", &directory))?;
    }
    link_programs(lab, inputs)?;
    lab.identity.create(&lab.paths)?;
    lab.group.create()?;
    lab.namespace.create()?;
    network::set_up(&lab.namespace)?;

    let run = |component: Component| component.start(lab);
    let [mut etcd, mut containerd, mut registry] =
        [run(etcd::component(lab))?, run(containerd::component(lab)?)?, run(registry::component(lab)?)?];
    watch.ready(&mut etcd)?;
    let mut apiserver = run(apiserver::component(lab))?;
    watch.ready(&mut containerd)?;
    std::thread::scope(|scope| {
        // Unpacking keeps the disk busy while the control plane keeps the processor busy.
        let images = scope.spawn(|| import_images(lab, inputs, setup, watch));
        watch.ready(&mut apiserver)?;
        let mut rest = [
            run(controller_manager::component(lab))?,
            run(scheduler::component(lab))?,
            run(kubelet::component(lab)?)?,
            run(kube_proxy::component(lab))?,
            run(coredns::component(lab)?)?,
        ];
        rest.iter_mut().try_for_each(|component| watch.ready(component))?;
        watch.ready(&mut registry)?;
        images.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;

    let started = Instant::now();
    watch.progress.doing("istio", "installing istiod and the ingress gateway");
    istio::install(lab, watch.interrupt)?;
    watch.progress.done("istio", "ready", started.elapsed());
    std::fs::write(lab.paths.up_marker(), "").map_err(file("write", lab.paths.up_marker()))
}

impl Watch<'_> {
    fn ready(&self, component: &mut Running) -> Result<(), LabError> {
        let took: Duration = component.wait_until_ready(self.interrupt)?;
        self.progress.done(component.name(), "ready", took);
        Ok(())
    }
}

fn import_images(lab: &Lab, inputs: &Inputs, setup: &Setup, watch: &Watch<'_>) -> Result<(), LabError> {
    let started = Instant::now();
    for archive in &inputs.images {
        lab.import_images(archive)?;
    }
    lab.load(&setup.images, &setup.programs)?;
    watch.progress.done("images", "imported", started.elapsed());
    Ok(())
}

fn link_programs(lab: &Lab, inputs: &Inputs) -> Result<(), LabError> {
    for directory in &inputs.programs {
        for entry in std::fs::read_dir(directory).map_err(file("list", directory))?.flatten() {
            let link = lab.paths.programs().join(entry.file_name());
            std::os::unix::fs::symlink(entry.path(), &link).map_err(file("link", &link))?;
        }
    }
    Ok(())
}

/// Clears the lab away when dropped: an error, a panic or Ctrl-C on the way leaves nothing.
struct Undo<'a>(Option<&'a Lab>);

impl Undo<'_> {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(lab) = self.0
            && let Err(error) = lab.clear()
        {
            eprintln!("lab {}: not everything could be removed: {error}", lab.name);
        }
    }
}
