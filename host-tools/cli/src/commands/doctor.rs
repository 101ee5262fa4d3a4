//! `resmcu doctor`: what each job needs, and whether it is there.

use crate::failure::{Failure, Outcome};
use crate::output::{Opening, Report, table};
use clap::Args;
use resmcu_xtask::doctor::inspect;
use serde::Serialize;
use std::fmt;

/// Looks for what each job needs: compiler targets, QEMU
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
}

impl Doctor {
    pub(crate) fn run(&self) -> Outcome {
        let findings = inspect().into_iter().map(|finding| Finding {
            job: finding.job.to_owned(),
            need: finding.need,
            found: finding.found,
            help: finding.help,
        });
        let body = Body { findings: findings.collect() };
        let missing = body.findings.iter().find(|finding| finding.found.is_none());
        let failure = missing.map(|finding| {
            Failure::input(format!("missing: {}", finding.need)).help(finding.help.clone())
        });
        Report { opening: Opening::plain(), body }.print(self.json.json)?;
        failure.map_or(Ok(()), Err)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(&["job", "needs", "found"]);
        for finding in &self.findings {
            let found = match &finding.found {
                Some(found) => found.clone(),
                None => format!("missing; {}", finding.help),
            };
            rows.add_row([finding.job.clone(), finding.need.clone(), found]);
        }
        writeln!(f, "{rows}")
    }
}
