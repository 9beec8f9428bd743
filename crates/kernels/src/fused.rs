//! A contraction and the pass over its result as one kernel.

#[cfg(test)]
mod tests;

use crate::isa::Isa;
use crate::kernel::{Access, Kernel, OperandSpec, Operands};
use crate::pass::epilogue::{Epilogue, Site, Tail};
use crate::pass::{PassError, PassSpec};

/// Receives the words of a result that a task has finished.
pub trait Sink {
    /// Words `at .. at + words` of the result are final.
    ///
    /// # Safety
    /// They lie inside the result, this task has written them and will not touch them again, and no other task of the
    /// stage touches them. Each word is announced once.
    unsafe fn done(&self, at: usize, words: usize);

    /// Words `at .. at + words` of the result will be done soon: memory that is needed then is fetched.
    fn soon(&self, at: usize, words: usize);
}

/// Number of a contraction's result among its operands, behind the two that are read.
const RESULT: usize = 2;

/// A kernel of two operands and a result whose tasks can tell which words of the result they have finished.
///
/// # Safety
/// What [`Kernel`] asks for holds of [`Contraction::run_into`] too. In the last stage every word of the result is
/// announced once, by the task that wrote it last, after it was written, unless [`Contraction::run_words`] is 0; in
/// earlier stages none.
pub unsafe trait Contraction: Kernel {
    /// The least number of words that finished stretches of the result have in general; more than that costs less. 0
    /// where nothing is announced, which then cannot be joined with a pass.
    fn run_words(&self) -> usize;

    /// Runs one task, announcing words of the result.
    ///
    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn run_into(
        &self,
        isa: Isa,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    );
}

/// A contraction whose result goes through a pass as it is made.
///
/// Operands: the contraction's two, its result (written), the pass's loads but the result, its stores but the one that
/// is computed in the result's place ([`Fused::taken`]), its reductions, then workspaces.
#[derive(Debug)]
pub struct Fused {
    contraction: Box<dyn Contraction>,
    epilogue: Epilogue,
    /// Workspaces of the contraction.
    spaces: Vec<OperandSpec>,
}

/// Share of the result's words that partial results of reductions may take.
const PARTIAL_SHARE: usize = 8;
/// Least words of a finished stretch. Gathering shorter ones costs more than a pass over memory, as measured on
/// convolutions of 32 and 64 channels.
const LEAST_RUN: usize = 128;
/// Least words of a result, 4 MiB: a pass finds a smaller one in the caches, and its longer blocks are faster there.
const LEAST_WORDS: usize = 1 << 20;

impl Fused {
    /// Fuses `spec`, whose load `result` reads the contraction's result, with the contraction, or gives it back where
    /// the pass is not of a form that can be run on parts of the result, or would not gain. With `in_place` nobody
    /// else reads the result.
    ///
    /// # Errors
    /// The pass is wrong: see [`PassError`].
    pub fn new(
        contraction: Box<dyn Contraction>,
        spec: PassSpec,
        result: usize,
        in_place: bool,
    ) -> Result<Result<Fused, Box<dyn Contraction>>, PassError> {
        let Some(epilogue) = Epilogue::new(spec, result, in_place)? else { return Ok(Err(contraction)) };
        let tasks = contraction.tasks(contraction.stages() - 1);
        let pays = contraction.run_words() >= LEAST_RUN
            && epilogue.words() >= LEAST_WORDS
            && epilogue.workspace(tasks).saturating_mul(PARTIAL_SHARE) <= epilogue.words();
        Ok(if pays { Fused::of(contraction, epilogue) } else { Err(contraction) })
    }

    /// Joins the two, if the result is the epilogue's.
    fn of(contraction: Box<dyn Contraction>, epilogue: Epilogue) -> Result<Fused, Box<dyn Contraction>> {
        let specs = contraction.operands();
        let suits = contraction.run_words() > 0
            && (RESULT + 1..=MAX_OPERANDS).contains(&specs.len())
            && specs[..RESULT].iter().all(|s| s.access == Access::Read)
            && specs[RESULT] == OperandSpec::write(epilogue.words());
        if !suits {
            return Err(contraction);
        }
        let spaces = specs[RESULT + 1..].to_vec();
        Ok(Fused { contraction, epilogue, spaces })
    }

    /// The store of the pass that is written in place of the result, if one is.
    pub fn taken(&self) -> Option<usize> {
        self.epilogue.taken()
    }

    fn reduces(&self) -> bool {
        self.epilogue.partial_words() > 0
    }

    /// Number of the epilogue's first own operand, and of the first workspace.
    fn places(&self) -> (usize, usize) {
        (RESULT + 1, RESULT + 1 + self.epilogue.operands().len())
    }

    fn last_stage(&self) -> usize {
        self.contraction.stages() - 1
    }

    /// Words of the contraction's scratch, up to a multiple of 64 bytes.
    fn inner_local(&self) -> usize {
        self.contraction.local_words().next_multiple_of(16)
    }
}

/// Most operands of a contraction.
const MAX_OPERANDS: usize = 6;

// SAFETY: the contraction is run on operands of its own, as it declares them. Its last stage announces each word of the
// result once, to the epilogue of the task that owns it, which reads and writes only that word of flat operands (a store
// in place after its last read), and cells of its own task; the stage behind it combines these into outputs of its own.
unsafe impl Kernel for Fused {
    fn name(&self) -> &'static str {
        match self.contraction.name() {
            "matmul" => "matmul.fused",
            "matmul.vector" => "matmul.vector.fused",
            "conv.forward" => "conv.forward.fused",
            "conv.input_grad" => "conv.input_grad.fused",
            "winograd.forward" => "winograd.forward.fused",
            "winograd.input_grad" => "winograd.input_grad.fused",
            _ => "fused",
        }
    }

    fn flops(&self) -> u64 {
        self.contraction.flops()
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let mut list = self.contraction.operands();
        list.truncate(RESULT + 1);
        list.extend(self.epilogue.operands());
        list.extend(&self.spaces);
        if self.reduces() {
            list.push(OperandSpec::workspace(
                self.epilogue.workspace(self.contraction.tasks(self.last_stage())),
            ));
        }
        list
    }

    fn stages(&self) -> usize {
        self.contraction.stages() + usize::from(self.reduces())
    }

    fn tasks(&self, stage: usize) -> usize {
        if stage <= self.last_stage() {
            self.contraction.tasks(stage)
        } else {
            self.epilogue.combining_tasks(self.contraction.tasks(self.last_stage()))
        }
    }

    fn operands_are_far(&mut self) {
        self.contraction.operands_are_far();
    }

    fn local_words(&self) -> usize {
        self.inner_local() + self.epilogue.local_words()
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let last = self.last_stage();
        let tasks = self.contraction.tasks(last);
        let (first, spaces) = self.places();
        let workspace = spaces + self.spaces.len();
        if stage > last {
            // SAFETY: the stages of the contraction have ended.
            return unsafe { self.epilogue.combine(task, tasks, operands, first, workspace) };
        }
        let mut parts = [(std::ptr::null_mut(), 0); MAX_OPERANDS];
        let count = RESULT + 1 + self.spaces.len();
        for (i, part) in parts.iter_mut().enumerate().take(count) {
            let at = if i <= RESULT { i } else { spaces + i - RESULT - 1 };
            *part = (operands.ptr(at), operands.words(at));
        }
        let inner = Operands::new(&parts[..count]);
        let (ours, rest) = local.split_at_mut(self.inner_local());
        let ours = &mut ours[..self.contraction.local_words()];
        // SAFETY: operands and scratch are those that the contraction and the epilogue declare; of the rest the caller
        // promises what they ask for.
        unsafe {
            if stage < last {
                return self.contraction.run_into(isa, stage, task, &inner, ours, None);
            }
            let site = Site { isa, operands: *operands, result: RESULT, first, workspace, task, tasks };
            let tail = Tail::new(&self.epilogue, site, rest.as_mut_ptr());
            self.contraction.run_into(isa, stage, task, &inner, ours, Some(&tail));
            tail.finish();
        }
    }
}
