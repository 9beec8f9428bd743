//! The registry of benchmarked workloads.

use ganymede::Objective;
use ganymede::workloads::{WORKLOADS, Workload};
use std::collections::HashSet;

#[test]
fn the_registry_is_sound() {
    let mut names = HashSet::new();
    for workload in WORKLOADS {
        assert!(names.insert(workload.name), "two workloads are named {}", workload.name);
        assert_eq!(Workload::find(workload.name).unwrap().name, workload.name);
        let recipe = workload.recipe().unwrap();
        assert!(recipe.about.len() > 10, "{} says nothing about itself", workload.name);
        let objective = Objective::new(recipe).unwrap();
        assert!(objective.state_bytes() > 0);
    }
    let error = Workload::find("dcgan82").err().unwrap().to_string();
    assert!(error.contains("dcgan28"), "{error}");
}
