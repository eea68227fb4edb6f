//! Which labs there are, and how their components are.

use crate::error::{LabError, file};
use crate::lab::Lab;
use crate::name::LabName;
use crate::paths::Paths;

/// Where a process's start stands in /proc/<id>/stat, counted from 0 behind the program's name (proc(5)).
const START_TIME_FIELD: usize = 19;

/// How a lab is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It started whole, and every component runs.
    Up,
    /// It started whole, and a component has ended since.
    Degraded,
    /// It is being started or ended, or a killed process left it so.
    Unfinished,
}

/// A lab and its components.
#[derive(Debug, Clone)]
pub struct Status {
    /// The lab.
    pub name: LabName,
    /// How it is.
    pub health: Health,
    /// Its components, by name.
    pub components: Vec<ComponentStatus>,
}

/// A component of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Its process, if it runs.
    pub process: Option<u32>,
}

/// All labs of this machine, by name.
///
/// # Errors
/// When their directory cannot be read.
pub fn list() -> Result<Vec<Status>, LabError> {
    let directory = Paths::all_labs();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(file("list", directory))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<LabName>().ok());
    let mut labs: Vec<Status> = names.map(|name| of(&Lab::named(&name))).collect();
    labs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(labs)
}

fn of(lab: &Lab) -> Status {
    let entries = std::fs::read_dir(lab.paths.processes()).into_iter().flatten().flatten();
    let component = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let process = process_of(lab, &name);
        Some(ComponentStatus { name, process })
    };
    let mut components: Vec<ComponentStatus> = entries.filter_map(component).collect();
    components.sort_by(|a, b| a.name.cmp(&b.name));
    let health = match lab.paths.up_marker().exists() {
        false => Health::Unfinished,
        true if components.iter().all(|component| component.process.is_some()) => Health::Up,
        true => Health::Degraded,
    };
    Status { name: lab.name.clone(), health, components }
}

/// Writes down which process a component is. With its start time, for ids are used again.
pub(crate) fn remember(lab: &Lab, component: &str, process: u32) -> Result<(), LabError> {
    let path = lab.paths.process(component);
    let start = start_time(process).unwrap_or_default();
    std::fs::write(&path, format!("{process} {start}")).map_err(file("write", &path))
}

/// The process that a component is, if it runs.
pub(crate) fn process_of(lab: &Lab, component: &str) -> Option<u32> {
    let remembered = std::fs::read_to_string(lab.paths.process(component)).ok()?;
    let (id, start) = remembered.split_once(' ')?;
    let id = id.parse().ok()?;
    (start_time(id)? == start).then_some(id)
}

/// When a process started, in the kernel's own units; `None` if it has ended.
fn start_time(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let start = fields.nth(START_TIME_FIELD - 1)?;
    // Dead, and only waiting to be buried.
    (!matches!(state, "Z" | "X")).then(|| start.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_has_one_start_and_a_gone_one_has_none() {
        let own = std::process::id();
        assert!(start_time(own).is_some_and(|start| start.parse::<u64>().is_ok()));
        assert_eq!(start_time(own), start_time(own));
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        let id = child.id();
        child.wait().expect("an end");
        assert_eq!(start_time(id), None);
    }
}
