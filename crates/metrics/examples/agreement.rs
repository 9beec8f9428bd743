//! Every case of `tools/goldens_libraries.py`, checked, with what each library is off the exact trace: the table of
//! docs/scores.md.
//!
//!     cargo run --release -p ganymede-metrics --example agreement [CASE ...]

#[path = "../tests/common/agreement.rs"]
mod agreement;
#[path = "../tests/common/mod.rs"]
mod common;

use agreement::{CASES, GOLDENS, LIBRARIES, check};
use common::{golden, off};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("| sets | Frechet distance | ours | {} |", LIBRARIES.join(" | "));
    println!("|---|---|---|---|---|---|");
    for case in CASES.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|name| name == case.name)) {
        let found = check(case);
        let exact = golden(GOLDENS, case.name, "frechet");
        let library = |name: &str| format!("{:.0e}", off(golden(GOLDENS, case.name, name), exact));
        let libraries = LIBRARIES.map(library).join(" | ");
        println!("| {} | {exact:.6} | {:.0e} | {libraries} |", case.name, off(found, exact));
    }
}
