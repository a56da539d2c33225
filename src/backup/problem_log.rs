//! Keeps the problems of a run for its report.

use crate::base::progress::{Event, Monitor};

/// Maximum number of problems that are kept for the report.
const PROBLEMS_MAX: usize = 1000;

/// A monitor that passes every event on and keeps the problems for the report.
pub(crate) struct Noted<'a> {
    inner: &'a dyn Monitor,
    problems: std::sync::Mutex<Vec<String>>,
}

impl<'a> Noted<'a> {
    pub(crate) fn new(inner: &'a dyn Monitor) -> Noted<'a> {
        Noted {
            inner,
            problems: std::sync::Mutex::default(),
        }
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Monitor for Noted<'_> {
    fn event(&self, event: Event) {
        if let Event::Problem { problem } = &event {
            let problems = self.problems.lock();
            let mut problems = problems.unwrap_or_else(std::sync::PoisonError::into_inner);
            match problems.len() {
                0..PROBLEMS_MAX => problems.push(problem.to_string()),
                PROBLEMS_MAX => problems.push("and more that were not noted".to_owned()),
                _ => {}
            }
        }
        self.inner.event(event);
    }
}
