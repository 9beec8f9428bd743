use super::*;
use crate::kernel::OperandSpec;

/// `y[i] += sum of x[..=i] * (i + 1)` in two stages through a workspace, in tasks of 8 words.
#[derive(Debug)]
struct Toy {
    words: usize,
    in_place: bool,
    panics: bool,
}

const PER_TASK: usize = 8;

// SAFETY: each task writes its own range of the workspace, then of the result, through checked ranges.
unsafe impl Kernel for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }
    fn flops(&self) -> u64 {
        0
    }
    fn operands(&self) -> Vec<OperandSpec> {
        let alias = self.in_place.then_some(0);
        vec![
            OperandSpec::read(self.words),
            OperandSpec { may_alias: alias, ..OperandSpec::write(self.words) },
            OperandSpec::workspace(self.words),
        ]
    }
    fn stages(&self) -> usize {
        2
    }
    fn tasks(&self, _: usize) -> usize {
        self.words.div_ceil(PER_TASK)
    }
    fn local_words(&self) -> usize {
        PER_TASK
    }
    unsafe fn run(&self, _: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let range = task * PER_TASK..self.words.min((task + 1) * PER_TASK);
        assert_eq!((local.len(), local.as_ptr() as usize % ALIGN), (PER_TASK, 0));
        assert!(!(self.panics && stage == 1 && task == 3), "toy broke");
        match stage {
            0 => {
                // SAFETY: stage 0 writes only the workspace, each task its own range.
                let (x, w) = unsafe { (operands.read(0), operands.write(2, range.clone())) };
                for (o, (w, i)) in w.iter_mut().zip(range).enumerate() {
                    local[o] = x[..=i].iter().map(|v| v * 0.1).sum();
                    *w = local[o];
                }
            }
            1 => {
                // SAFETY: stage 1 reads the workspace and writes each task's own range of the result.
                let (w, y) = unsafe { (operands.read(2), operands.write(1, range.clone())) };
                for (y, i) in y.iter_mut().zip(range) {
                    *y = w[i] * (i + 1) as f32 + w[w.len() - 1 - i];
                }
            }
            other => unreachable!("stage {other}"),
        }
    }
}

const N: usize = 100;

fn view(space: u32, offset: usize, words: usize) -> View {
    View { space: SpaceId(space), offset, words }
}

fn step(views: Vec<View>) -> Step {
    Step {
        kernel: Arc::new(Toy { words: N, in_place: true, panics: false }),
        views,
        label: "D/dense1".into(),
    }
}

/// Space 0: input, read-only, 2N words; space 1: scratch, 4N words.
fn spaces() -> Vec<Space> {
    vec![Space { words: 2 * N, writable: false }, Space { words: 4 * N, writable: true }]
}

fn problem(steps: Vec<Step>) -> StepProblem {
    match Machine::new(Isa::Portable, spaces(), steps, None).unwrap_err() {
        PlanError::Step { label, kernel, problem, .. } => {
            assert_eq!((label.as_str(), kernel), ("D/dense1", "toy"));
            problem
        }
        other => panic!("unexpected {other}"),
    }
}

#[test]
fn refuses_views_that_do_not_fit() {
    let good = [view(0, 0, N), view(1, 0, N), view(1, N, N)];
    assert!(Machine::new(Isa::Portable, spaces(), vec![step(good.to_vec())], None).is_ok());
    let with = |operand: usize, v: View| {
        let mut views = good.to_vec();
        views[operand] = v;
        problem(vec![step(views)])
    };
    assert_eq!(problem(vec![step(good[..2].to_vec())]), StepProblem::Count { expected: 3, got: 2 });
    assert_eq!(with(1, view(1, 0, N - 1)), StepProblem::Words { operand: 1, expected: N, got: N - 1 });
    assert_eq!(with(0, view(2, 0, N)), StepProblem::NoSpace { operand: 0, spaces: 2, view: view(2, 0, N) });
    let outside = view(0, N + 1, N);
    assert_eq!(with(0, outside), StepProblem::Outside { operand: 0, words: 2 * N, view: outside });
    let far = view(0, usize::MAX, N);
    assert_eq!(with(0, far), StepProblem::Outside { operand: 0, words: 2 * N, view: far });
    assert_eq!(with(1, view(0, N, N)), StepProblem::ReadOnly { operand: 1, view: view(0, N, N) });
}

#[test]
fn refuses_overlap_except_the_declared_alias() {
    let overlap = |views: [View; 3]| problem(vec![step(views.to_vec())]);
    // The result on the input, shifted by one word.
    let e = overlap([view(1, 0, N), view(1, 1, N), view(1, 2 * N, N)]);
    assert!(matches!(e, StepProblem::Overlap { operand: 1, other: 0, .. }), "{e}");
    // The workspace on the result, and on the input.
    let e = overlap([view(0, 0, N), view(1, 0, N), view(1, N - 1, N)]);
    assert!(matches!(e, StepProblem::Overlap { operand: 1, other: 2, .. }), "{e}");
    let e = overlap([view(1, 0, N), view(1, N, N), view(1, 0, N)]);
    assert!(matches!(e, StepProblem::Overlap { operand: 2, other: 0, .. }), "{e}");
    // Exactly on the input: only as declared.
    let in_place = vec![view(1, 0, N), view(1, 0, N), view(1, N, N)];
    assert!(Machine::new(Isa::Portable, spaces(), vec![step(in_place.clone())], None).is_ok());
    let mut strict = step(in_place);
    strict.kernel = Arc::new(Toy { words: N, in_place: false, panics: false });
    assert!(matches!(problem(vec![strict]), StepProblem::Overlap { operand: 1, other: 0, .. }));
}

#[test]
fn errors_name_step_operand_expected_and_got() {
    let good = || step(vec![view(0, 0, N), view(1, 0, N), view(1, N, N)]);
    let bad = step(vec![view(0, 0, N), view(1, 0, 7), view(1, N, N)]);
    let error = Machine::new(Isa::Portable, spaces(), vec![good(), bad], None).unwrap_err();
    assert_eq!(error.to_string(), "step 1 `D/dense1` (toy): operand 1: expected 100 words, got 7");
}

#[test]
fn refuses_memory_other_than_declared() {
    let pool = Pool::new(2).unwrap();
    let mut machine = Machine::new(
        Isa::Portable,
        spaces(),
        vec![step(vec![view(0, 0, N), view(1, 0, N), view(1, N, N)])],
        None,
    )
    .unwrap();
    let input = vec![1.0; 2 * N];
    let mut scratch = vec![0.0; 4 * N];
    let e = machine.run(&pool, &mut [Lent::Read(&input)]).unwrap_err();
    assert!(matches!(e, RunError::Count { expected: 2, got: 1 }));
    let e = machine.run(&pool, &mut [Lent::Read(&input[1..]), Lent::Write(&mut scratch)]).unwrap_err();
    assert!(matches!(e, RunError::Words { space: SpaceId(0), expected: 200, got: 199 }));
    let e = machine.run(&pool, &mut [Lent::Read(&input), Lent::Read(&scratch)]).unwrap_err();
    assert!(matches!(e, RunError::ReadOnly { space: SpaceId(1) }));
    assert!(scratch.iter().all(|&s| s == 0.0));
}

/// Three chained steps, the middle one in place; returns the scratch.
fn chain(threads: usize) -> Vec<u32> {
    let pool = Pool::new(threads).unwrap();
    let steps = vec![
        step(vec![view(0, 50, N), view(1, 0, N), view(1, N, N)]),
        step(vec![view(1, 0, N), view(1, 0, N), view(1, N, N)]),
        step(vec![view(1, 0, N), view(1, 2 * N, N), view(1, 3 * N, N)]),
    ];
    let mut machine = Machine::new(Isa::Portable, spaces(), steps, None).unwrap();
    machine.set_profile(true);
    let input: Vec<f32> = (0..2 * N).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut scratch = vec![f32::NAN; 4 * N];
    for _ in 0..20 {
        let report = machine.run(&pool, &mut [Lent::Read(&input), Lent::Write(&mut scratch)]).unwrap();
        assert!(report.committed);
    }
    // With more threads, others may run all tasks of a step.
    let nanos = machine.profile().unwrap();
    assert!(if threads == 1 { nanos.iter().all(|&n| n > 0) } else { nanos.iter().any(|&n| n > 0) });
    scratch.iter().map(|s| s.to_bits()).collect()
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let one = chain(1);
    assert!(one.iter().all(|&b| f32::from_bits(b).is_finite()));
    for threads in [2, 3, 7] {
        assert_eq!(chain(threads), one, "{threads} threads");
    }
}

#[test]
fn the_gate_holds_back_the_steps_behind_it() {
    let steps = || {
        vec![
            step(vec![view(0, 0, N), view(1, 0, N), view(1, N, N)]),
            step(vec![view(0, 0, N), view(1, 2 * N, N), view(1, N, N)]),
        ]
    };
    for threads in [1, 2, 7] {
        let pool = Pool::new(threads).unwrap();
        for (at, word, open) in
            [(1, 0, false), (1, 1, true), (2, 0, false), (0, 0, false), (1, 0x8000_0000, true)]
        {
            let commit = Some(Commit { step: at, word: view(0, 2 * N - 1, 1) });
            let mut machine = Machine::new(Isa::Portable, spaces(), steps(), commit).unwrap();
            let mut input = vec![1.0; 2 * N];
            input[2 * N - 1] = f32::from_bits(word);
            let mut scratch = vec![f32::NAN; 4 * N];
            let report = machine.run(&pool, &mut [Lent::Read(&input), Lent::Write(&mut scratch)]).unwrap();
            assert_eq!(report.committed, open);
            assert_eq!(scratch[0].is_nan(), at == 0 && !open);
            assert_eq!(scratch[2 * N].is_nan(), at < 2 && !open);
        }
    }
}

#[test]
fn refuses_a_gate_outside() {
    let gate =
        |step, word| Machine::new(Isa::Portable, spaces(), vec![], Some(Commit { step, word })).unwrap_err();
    assert_eq!(gate(1, view(0, 0, 1)), PlanError::GateStep { step: 1, steps: 0 });
    for word in [view(0, 0, 2), view(0, 2 * N, 1), view(5, 0, 1)] {
        assert_eq!(gate(0, word), PlanError::GateView { view: word });
    }
}

#[test]
fn a_panicking_kernel_is_an_error_that_names_the_step() {
    for threads in [1, 2, 3, 7] {
        let pool = Pool::new(threads).unwrap();
        let mut broken = step(vec![view(0, 0, N), view(1, 0, N), view(1, N, N)]);
        broken.kernel = Arc::new(Toy { words: N, in_place: false, panics: true });
        let good = || step(vec![view(0, 0, N), view(1, 0, N), view(1, N, N)]);
        let mut machine = Machine::new(Isa::Portable, spaces(), vec![good(), broken, good()], None).unwrap();
        let input = vec![1.0; 2 * N];
        let mut scratch = vec![0.0; 4 * N];
        for _ in 0..3 {
            let e = machine.run(&pool, &mut [Lent::Read(&input), Lent::Write(&mut scratch)]).unwrap_err();
            assert!(matches!(e, RunError::Step { index: 1, .. }), "{e}");
            assert!(e.to_string().contains("toy broke"), "{e}");
        }
    }
}

/// Adds 1 to rows of 8 words, or to all of them the sum of the input.
#[derive(Debug)]
struct Rows {
    rows: usize,
    sums: bool,
}

const ROW: usize = 8;

// SAFETY: a task reads and writes its own row, or reads all of the input and writes its own row.
unsafe impl Kernel for Rows {
    fn name(&self) -> &'static str {
        if self.sums { "sums" } else { "rows" }
    }
    fn flops(&self) -> u64 {
        0
    }
    fn operands(&self) -> Vec<OperandSpec> {
        vec![OperandSpec::read(self.rows * ROW), OperandSpec::write(self.rows * ROW)]
    }
    fn tasks(&self, _: usize) -> usize {
        self.rows
    }
    fn reach(&self, _: usize, task: usize, operand: usize) -> Option<std::ops::Range<usize>> {
        (operand == 1 || !self.sums).then_some(task * ROW..(task + 1) * ROW)
    }
    unsafe fn run(&self, _: Isa, _: usize, task: usize, operands: &Operands<'_>, _: &mut [f32]) {
        let row = task * ROW..(task + 1) * ROW;
        let from = if self.sums { 0..self.rows * ROW } else { row.clone() };
        // SAFETY: the words that this task reaches.
        let (x, y) = unsafe {
            let x = std::slice::from_raw_parts(operands.ptr(0).add(from.start), from.len());
            (x, operands.write(1, row))
        };
        for (i, y) in y.iter_mut().enumerate() {
            *y = if self.sums { x.iter().sum() } else { x[i] + 1.0 };
        }
    }
}

/// Steps over arrays of `rows` rows at the given offsets of space 1: (sums, from, to).
fn rows(rows: usize, list: &[(bool, usize, usize)]) -> Vec<Step> {
    let step = |&(sums, from, to): &(bool, usize, usize)| Step {
        kernel: Arc::new(Rows { rows, sums }),
        views: vec![view(1, from, rows * ROW), view(1, to, rows * ROW)],
        label: "rows".into(),
    };
    list.iter().map(step).collect()
}

fn turns_of(steps: &[Step], commit: Option<Commit>) -> Vec<(usize, usize)> {
    let steps = steps.iter().map(|s| (s.kernel.as_ref(), s.views.as_slice()));
    turns(steps, commit)
        .into_iter()
        .map(|[first, last]| {
            assert_eq!(first, last);
            (first.group, first.chain)
        })
        .collect()
}

#[test]
fn steps_that_keep_to_their_rows_follow_each_other_without_a_barrier() {
    let n = 4 * ROW;
    // Two links of a chain, one beside them, then one that needs all rows, and one that needs all of that.
    let list =
        [(false, 0, n), (false, n, 2 * n), (false, 4 * n, 5 * n), (true, 2 * n, 3 * n), (true, 3 * n, 0)];
    let steps = rows(4, &list);
    assert_eq!(turns_of(&steps, None), [(0, 0), (0, 0), (0, 1), (1, 0), (2, 0)]);
    // One whose rows lie across two tasks needs a barrier.
    let shifted = rows(4, &[(false, 0, n), (false, n + ROW / 2, 3 * n)]);
    assert_eq!(turns_of(&shifted, None), [(0, 0), (1, 0)]);
    // What is written may be read earlier only row by row.
    let before = rows(4, &[(true, 0, n), (false, 2 * n, 0)]);
    assert_eq!(turns_of(&before, None), [(0, 0), (1, 0)]);
    // A link of two chains needs a barrier.
    let joined = rows(4, &[(false, 0, 2 * n), (false, n, 3 * n), (false, 5 * n / 2, 6 * n)]);
    assert_eq!(turns_of(&joined, None), [(0, 0), (0, 1), (1, 0)]);
    // So does the gate.
    let commit = Some(Commit { step: 1, word: view(1, 7 * n, 1) });
    assert_eq!(turns_of(&steps[..3], commit), [(0, 0), (1, 0), (1, 1)]);
}

#[test]
fn a_step_goes_before_those_that_wait_only_if_it_meets_none_of_them() {
    let n = 4 * ROW;
    // The second waits; the third is free, the fourth follows the second, the fifth writes what the second reads.
    let list =
        [(false, 0, n), (true, n, 2 * n), (false, 4 * n, 5 * n), (false, 2 * n, 6 * n), (false, 4 * n, n)];
    assert_eq!(turns_of(&rows(4, &list), None), [(0, 0), (1, 0), (0, 1), (1, 0), (2, 0)]);
}

#[test]
fn fewer_tasks_do_not_hold_more() {
    let n = 4 * ROW;
    let mut steps = rows(1, &[(false, 0, n)]);
    steps.extend(rows(4, &[(true, n - 3 * ROW, 2 * n)]));
    assert_eq!(turns_of(&steps, None), [(0, 0), (1, 0)]);
}

/// Sums of `rows` times 8 words over the rows: a step of two stages where the rows are two bands or more.
fn sums(rows: usize, from: usize, to: usize, workspace: usize) -> Step {
    use crate::pass::{Instr, Lane, Load, Pass, PassSpec, Reduce, ReduceOp};
    let dims = vec![rows, ROW];
    let spec = PassSpec {
        loads: vec![Load::contiguous(&dims)],
        dims,
        code: vec![Instr::Load(0)],
        stores: vec![],
        reduces: vec![Reduce { value: 0, op: ReduceOp::Sum, lane: Lane::F32 }],
        keep: vec![false, true],
    };
    let kernel = Pass::new(spec).unwrap();
    assert_eq!(kernel.stages(), 2);
    let words = kernel.operands()[2].words;
    let views = vec![view(1, from, rows * ROW), view(1, to, ROW), view(1, workspace, words)];
    Step { kernel: Arc::new(kernel), views, label: "sums".into() }
}

#[test]
fn stages_of_a_step_of_few_words_need_no_barrier() {
    let n = 512 * ROW;
    let spaces = || vec![Space { words: 0, writable: false }, Space { words: 4 * n, writable: true }];
    for (count, together) in [(128, true), (512, false)] {
        // Two sums side by side and a step behind the first of them.
        let mut steps = vec![sums(count, 0, n, n + 64), sums(count, 0, n + 16, 2 * n)];
        steps.extend(rows(1, &[(false, n, n + 32)]));
        let ends = turns(steps.iter().map(|s| (s.kernel.as_ref(), s.views.as_slice())), None);
        let [first, second, behind] = ends[..] else { panic!("three steps") };
        assert_eq!(first[0] == first[1], together, "{first:?}");
        assert_eq!(second[0] == second[1], together, "{second:?}");
        assert_eq!(behind[0], first[1]);
        assert_ne!(first[0].chain, second[0].chain);
        let mut expected = None;
        for threads in [1, 2, 3] {
            let mut steps = vec![sums(count, 0, n, n + 64), sums(count, 0, n + 16, 2 * n)];
            steps.extend(rows(1, &[(false, n, n + 32)]));
            let mut machine = Machine::new(Isa::Portable, spaces(), steps, None).unwrap();
            let mut memory: Vec<f32> = (0..4 * n).map(|i| (i % 7) as f32).collect();
            let pool = Pool::new(threads).unwrap();
            machine.run(&pool, &mut [Lent::Read(&[]), Lent::Write(&mut memory)]).unwrap();
            for c in 0..ROW {
                let sum: f32 = (0..count).map(|r| ((r * ROW + c) % 7) as f32).sum();
                assert_eq!((memory[n + c], memory[n + 16 + c], memory[n + 32 + c]), (sum, sum, sum + 1.0));
            }
            let words = memory[n..n + 40].to_vec();
            assert_eq!(*expected.get_or_insert_with(|| words.clone()), words);
        }
    }
}

#[test]
fn chains_give_what_the_list_says_on_any_number_of_threads() {
    let n = 4 * ROW;
    let mut noise = crate::pass::harness::Noise(11);
    for _ in 0..200 {
        // Arrays at random places that may overlap those of other steps, not their own.
        let mut list = Vec::new();
        while list.len() < 24 {
            let (from, to) = (noise.below(7 * n), noise.below(7 * n));
            if from.abs_diff(to) >= n {
                list.push((noise.below(4) == 0, from, to));
            }
        }
        let start: Vec<f32> = (0..8 * n).map(|i| (i % 5) as f32).collect();
        let mut expected = start.clone();
        for &(sums, from, to) in &list {
            let x = expected[from..from + n].to_vec();
            for (i, &word) in x.iter().enumerate() {
                expected[to + i] = if sums { x.iter().sum() } else { word + 1.0 };
            }
        }
        for threads in [1, 2, 5] {
            let spaces = vec![Space { words: 0, writable: false }, Space { words: 8 * n, writable: true }];
            let mut machine = Machine::new(Isa::Portable, spaces, rows(4, &list), None).unwrap();
            let mut memory = start.clone();
            machine
                .run(&Pool::new(threads).unwrap(), &mut [Lent::Read(&[]), Lent::Write(&mut memory)])
                .unwrap();
            let bits = |words: &[f32]| words.iter().map(|w| w.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&memory), bits(&expected), "{list:?}");
        }
    }
}
