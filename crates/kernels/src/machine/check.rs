//! The one check on which the soundness of running rests.

use super::{Commit, PlanError, Space, Step, StepProblem, View};
use crate::kernel::{Access, OperandSpec};

/// Checks every step and the gate against the spaces.
pub(super) fn check(spaces: &[Space], steps: &[Step], commit: Option<Commit>) -> Result<(), PlanError> {
    for (index, step) in steps.iter().enumerate() {
        check_step(spaces, step).map_err(|problem| PlanError::Step {
            index,
            label: step.label.clone(),
            kernel: step.kernel.name(),
            problem,
        })?;
    }
    if let Some(Commit { step, word }) = commit {
        if step > steps.len() {
            return Err(PlanError::GateStep { step, steps: steps.len() });
        }
        let inside = spaces.get(word.space.0 as usize).is_some_and(|s| fits(word, s));
        if word.words != 1 || !inside {
            return Err(PlanError::GateView { view: word });
        }
    }
    Ok(())
}

fn check_step(spaces: &[Space], step: &Step) -> Result<(), StepProblem> {
    let specs = step.kernel.operands();
    let views = &step.views;
    if specs.len() != views.len() {
        return Err(StepProblem::Count { expected: specs.len(), got: views.len() });
    }
    for (operand, (spec, &view)) in specs.iter().zip(views).enumerate() {
        let space = spaces.get(view.space.0 as usize).ok_or(StepProblem::NoSpace {
            operand,
            spaces: spaces.len(),
            view,
        })?;
        if spec.words != view.words {
            return Err(StepProblem::Words { operand, expected: spec.words, got: view.words });
        }
        if !fits(view, space) {
            return Err(StepProblem::Outside { operand, words: space.words, view });
        }
        if writes(spec) && !space.writable {
            return Err(StepProblem::ReadOnly { operand, view });
        }
    }
    for (operand, spec) in specs.iter().enumerate().filter(|(_, s)| writes(s)) {
        for (other, with) in specs.iter().enumerate().filter(|&(other, _)| other != operand) {
            let (here, there) = (views[operand], views[other]);
            let aliased = spec.may_alias == Some(other) && !writes(with) && here == there;
            if overlap(here, there) && !aliased {
                return Err(StepProblem::Overlap { operand, other, view: here, with: there });
            }
        }
    }
    Ok(())
}

fn writes(spec: &OperandSpec) -> bool {
    match spec.access {
        Access::Read => false,
        Access::Write | Access::ReadWrite => true,
    }
}

fn fits(view: View, space: &Space) -> bool {
    view.offset.checked_add(view.words).is_some_and(|end| end <= space.words)
}

/// Whether two views inside their spaces share a word.
fn overlap(a: View, b: View) -> bool {
    a.space == b.space
        && a.words > 0
        && b.words > 0
        && a.offset < b.offset + b.words
        && b.offset < a.offset + a.words
}
