//! Examines backup and phone before a restore, and makes its dry run.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::check_source::{check, known_damage};
use super::concern::Concern;
use super::error::Error;
use super::options::Options;
use super::subject::{Source, Target};
use super::{Line, partial, preflight};
use crate::base::failure_kind::FailureKind;
use crate::base::progress::Monitor;
use crate::device::connector::Connector;
use crate::device::trust;
use crate::doctor::{self, Level};
use crate::reader;
use crate::transport::Attached;
use crate::verify::Outcome;

/// A restore before it begins: both sides, and the findings of the preflight before anything was
/// read or sent.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    /// The backup to restore.
    pub source: Source,
    /// The phone to restore to.
    pub target: Target,
    /// The findings about both.
    pub lines: Vec<Line>,
}

/// Examines backup and phone without changing either.
pub fn consider(
    connector: &Connector,
    phone: &Attached,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Considered, Error> {
    let source = Source::look(folder)?;
    let mut session = trust::session_or_pair(connector, phone, options.trust_wait, monitor)?;
    let target = Target::ask(phone, session.lockdown())?;
    partial::admit(folder, &source, &target, options)?;
    Ok(weigh(source, target, options))
}

pub(super) fn weigh(source: Source, target: Target, options: &Options) -> Considered {
    let mut lines = preflight::judge_backup(&source, options);
    lines.extend(preflight::judge_phone(&source, &target, options));
    Considered {
        source,
        target,
        lines,
    }
}

/// Runs the preflight: finds out everything that can be known without restoring. `phone` is the
/// selected phone, or the error that prevented selecting one.
pub fn dry_run(
    connector: &Connector,
    phone: Result<Attached, Error>,
    folder: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<doctor::Report<Concern>, Error> {
    let mut source = Source::look(folder)?;
    if let Some(transfer) = &options.transfer {
        (source.files, source.bytes) = (transfer.files, transfer.bytes);
    }
    let target = phone.and_then(|phone| {
        let mut session = connector.session(&phone)?;
        Ok(Target::ask(&phone, session.lockdown())?)
    });
    let target = target.map_err(Arc::new);
    let mut lines = preflight::judge_backup(&source, options);
    match &target {
        Ok(target) => lines.extend(preflight::judge_phone(&source, target, options)),
        Err(e) => lines.push(problem("phone", e.clone())),
    }
    let admitted = match &target {
        Ok(target) => partial::admit(folder, &source, target, options),
        Err(_) => Ok(()),
    };
    // Done before the check, which reads every byte: a part without files should be reported at
    // once.
    match admitted.and_then(|()| partial::show(folder, options)) {
        Ok(Some(part)) => lines.push(preflight::judge_part(&part, options)),
        // The check below reports a list that cannot be read or is encrypted.
        Ok(None) | Err(Error::Read(reader::Error::Metadata { .. })) => {}
        Err(e) => lines.push(problem("part", Arc::new(e))),
    }
    if let Some(transfer) = &options.transfer {
        lines.extend(preflight::judge_transfer(transfer));
        return Ok(reported(lines, target.is_ok()));
    }
    match check(folder, options, &connector.token, monitor) {
        Ok(report) => lines.push(match known_damage(folder, options) {
            Some(damage) if report.outcome != Outcome::Damaged => damage,
            _ => preflight::judge_check(&report),
        }),
        Err(e) if e.kind() == FailureKind::WrongPassword => {
            lines.push(problem("check", Arc::new(e)));
        }
        Err(e) => return Err(e),
    }
    Ok(reported(lines, target.is_ok()))
}

fn reported(lines: Vec<Line>, has_phone: bool) -> doctor::Report<Concern> {
    doctor::Report {
        phones: Vec::new(),
        level: lines
            .iter()
            .map(|line| line.level)
            .max()
            .unwrap_or(Level::Ok),
        not_looked_at: preflight::not_looked_at(has_phone),
        lines,
    }
}

/// Returns the error that prevents a restore as a line of the dry run.
fn problem(name: &'static str, e: Arc<Error>) -> Line {
    Line::problem(name, e.to_string()).concern(Concern::Failed(e))
}
