//! Joins passes to the contractions whose results they read, so that they run on what has just been computed.
//!
//! A pass moves up to the contraction: nothing may come between that it needs. What it writes was written by it alone,
//! so nobody reads that earlier. The result of the contraction needs no memory of its own if the pass was its only
//! reader: a store of the pass then takes the place.

use super::ir::{Call, Place, Slice, Value, ValueId, Work};
use ganymede_kernels::fused::Fused;
use ganymede_kernels::kernel::{Access, Kernel};
use ganymede_kernels::pass::PassError;

/// Number of a contraction's result among its operands.
const RESULT: usize = 2;

/// Calls that read each value and those that write it before the commit, in order.
struct Uses {
    readers: Vec<Vec<usize>>,
    writers: Vec<Vec<usize>>,
}

impl Uses {
    fn of(calls: &[Call], commit: usize, values: usize) -> Uses {
        let mut uses = Uses { readers: vec![Vec::new(); values], writers: vec![Vec::new(); values] };
        for (i, call) in calls.iter().enumerate() {
            let writes: Vec<bool> = match &call.work {
                Work::Pass(spec) => (0..call.operands.len()).map(|k| k >= spec.loads.len()).collect(),
                Work::Contraction(kernel) => written(kernel.as_ref()),
                Work::Kernel(kernel) => written(kernel.as_ref()),
                Work::Again(_) => unreachable!("passes are fused before calls are repeated"),
            };
            for (operand, writes) in call.operands.iter().zip(writes) {
                if !writes {
                    uses.readers[operand.value].push(i);
                } else if i < commit {
                    uses.writers[operand.value].push(i);
                }
            }
        }
        uses
    }
}

fn written(kernel: &dyn Kernel) -> Vec<bool> {
    kernel.operands().iter().map(|o| o.access != Access::Read).collect()
}

/// Fuses what can be among the calls before `commit`; returns the calls and where the commit begins now.
pub fn fuse(
    calls: Vec<Call>,
    commit: usize,
    values: &[Value],
    gate: Option<ValueId>,
) -> Result<(Vec<Call>, usize), (String, PassError)> {
    let mut uses = Uses::of(&calls, commit, values.len());
    let mut calls: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    for i in 0..commit {
        let Some(Call { work: Work::Contraction(_), operands, .. }) = &calls[i] else { continue };
        let result = operands[RESULT];
        if uses.writers[result.value] != [i] {
            continue;
        }
        for j in uses.readers[result.value].clone() {
            let pass = calls[j].as_ref().filter(|_| j < commit);
            let Some(load) = pass.and_then(|pass| joins(pass, [i, j], result, &uses)) else { continue };
            let alone = uses.readers[result.value] == [j]
                && values[result.value].place == Place::Scratch
                && gate != Some(result.value);
            let (Some(contraction), Some(pass)) = (calls[i].take(), calls[j].take()) else {
                unreachable!("both were just looked at")
            };
            let written = pass.operands.iter().map(|o| o.value).collect::<Vec<_>>();
            match join(contraction, pass, load, alone)? {
                Joined::Fused(call) => {
                    calls[i] = Some(call);
                    for value in written {
                        for list in [&mut uses.readers[value], &mut uses.writers[value]] {
                            list.iter_mut().filter(|k| **k == j).for_each(|k| *k = i);
                        }
                    }
                    break;
                }
                Joined::Apart(contraction, pass) => {
                    calls[i] = Some(contraction);
                    calls[j] = Some(pass);
                }
            }
        }
    }
    let before = calls[..commit].iter().flatten().count();
    Ok((calls.into_iter().flatten().collect(), before))
}

/// The load of pass `j` that reads the whole result of contraction `i`, if the pass can run there.
fn joins(pass: &Call, [i, j]: [usize; 2], result: Slice<ValueId>, uses: &Uses) -> Option<usize> {
    let Work::Pass(spec) = &pass.work else { return None };
    let (loads, outputs) = pass.operands.split_at(spec.loads.len());
    let mut reading = (0..loads.len()).filter(|&k| loads[k].value == result.value);
    let load = reading.next().filter(|&k| loads[k] == result)?;
    let ready = |o: &Slice<ValueId>| o.value == result.value || uses.writers[o.value].iter().all(|&w| w < i);
    let fresh = |o: &Slice<ValueId>| uses.writers[o.value].first() == Some(&j);
    (reading.next().is_none() && loads.iter().all(ready) && outputs.iter().all(fresh)).then_some(load)
}

enum Joined {
    Fused(Call),
    Apart(Call, Call),
}

fn join(contraction: Call, pass: Call, load: usize, alone: bool) -> Result<Joined, (String, PassError)> {
    let Call { work: Work::Contraction(kernel), mut operands, label } = contraction else {
        unreachable!("a contraction")
    };
    let Work::Pass(spec) = &pass.work else { unreachable!("a pass") };
    let fused = match Fused::new(kernel, spec.clone(), load, alone).map_err(|e| (pass.label.clone(), e))? {
        Ok(fused) => fused,
        Err(kernel) => {
            let contraction = Call { work: Work::Contraction(kernel), operands, label };
            return Ok(Joined::Apart(contraction, pass));
        }
    };
    let first_store = spec.loads.len();
    let taken = fused.taken().map(|store| first_store + store);
    if let Some(store) = taken {
        operands[RESULT] = pass.operands[store];
    }
    let rest = pass.operands.iter().enumerate().filter(|(k, _)| *k != load && Some(*k) != taken);
    operands.extend(rest.map(|(_, slice)| *slice));
    let label = format!("{label} + {}", pass.label);
    Ok(Joined::Fused(Call { work: Work::Kernel(Box::new(fused)), operands, label }))
}
