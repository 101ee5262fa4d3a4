//! `resmcu doctor`: what each job needs, and whether it is there.

use crate::device::image;
use crate::failure::{Failure, Outcome};
use crate::output::{Opening, Report, table};
use clap::Args;
use resmcu_device_link::hardware;
use resmcu_device_link::probe::Probes;
use resmcu_xtask::doctor::inspect;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// The page that has the rules, and says where they go.
const PROBE_SETUP: &str = "https://probe.rs/docs/getting-started/probe-setup";

/// Looks for what each job needs: compiler targets, QEMU, a debug probe
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    job: String,
    need: String,
    found: Option<String>,
    help: String,
    /// Only who has a real board needs it: that it is missing is no failure.
    optional: bool,
}

impl Doctor {
    pub(crate) fn run(&self) -> Outcome {
        let findings = inspect().into_iter().map(|finding| Finding {
            job: finding.job.to_owned(),
            need: finding.need,
            found: finding.found,
            help: finding.help,
            optional: false,
        });
        let body = Body { findings: findings.chain(for_real_boards()).collect() };
        let is_missing = |finding: &&Finding| finding.found.is_none() && !finding.optional;
        let failure = body.findings.iter().find(is_missing).map(|finding| {
            Failure::input(format!("missing: {}", finding.need)).help(finding.help.clone())
        });
        Report { opening: Opening::plain(), body }.print(self.json.json)?;
        failure.map_or(Ok(()), Err)
    }
}

/// What flashing and speaking with a real board takes.
fn for_real_boards() -> Vec<Finding> {
    let finding = |need: &str, found: Option<String>, help: String| Finding {
        job: "flash real boards".to_owned(),
        need: need.to_owned(),
        found,
        help,
        optional: true,
    };
    let probes: Vec<_> = Probes::default().list().iter().map(ToString::to_string).collect();
    let probes = (!probes.is_empty()).then(|| probes.join(", "));
    let there = hardware().iter().filter(|board| image(board.name).is_file()).count();
    let images = (there > 0).then(|| format!("{there} of {}", hardware().len()));
    let mut findings = vec![
        finding("a debug probe", probes, "plug a board in; no other job needs one".to_owned()),
        finding("their firmware's images", images, "cargo xtask boards".to_owned()),
    ];
    if cfg!(target_os = "linux") {
        let rules = format!("install them, where a probe is not found: {PROBE_SETUP}");
        findings.push(finding("udev rules for probes", udev_rules(), rules));
        let group = "sudo usermod -aG dialout $USER, then log in again".to_owned();
        findings.push(finding("permission for serial ports", serial_group(), group));
    }
    findings
}

/// A file of udev's that lets users open probes.
fn udev_rules() -> Option<String> {
    let folders = ["/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"];
    let files = folders.iter().filter_map(|folder| Path::new(folder).read_dir().ok()).flatten();
    let is_rules = |name: &str| {
        ["probe-rs", "stlink", "jlink", "cmsis-dap"].iter().any(|of| name.contains(of))
    };
    files
        .flatten()
        .find(|file| is_rules(&file.file_name().to_string_lossy()))
        .map(|file| file.path().display().to_string())
}

/// Why this user may open serial ports.
fn serial_group() -> Option<String> {
    let output = Command::new("id").arg("-nG").output().ok()?;
    let groups = String::from_utf8_lossy(&output.stdout).into_owned();
    let group = groups.split_whitespace().find(|g| ["root", "dialout", "uucp"].contains(g))?;
    Some(format!("this user is in the group {group}"))
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&["job", "needs", "found"]);
        for finding in &self.findings {
            let found = match &finding.found {
                Some(found) => found.clone(),
                None if finding.optional => format!("not there; {}", finding.help),
                None => format!("missing; {}", finding.help),
            };
            rows.add_row([finding.job.clone(), finding.need.clone(), found]);
        }
        writeln!(f, "{rows}")
    }
}
