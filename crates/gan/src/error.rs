//! The error of the library's larger verbs: training, sampling, judging.

/// What went wrong; each kind says where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] crate::recipe::RecipeError),
    /// The data.
    #[error(transparent)]
    Data(#[from] ganymede_data::DataError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// A picture.
    #[error(transparent)]
    Picture(#[from] crate::picture::PictureError),
    /// Building a network's graph.
    #[error(transparent)]
    Graph(#[from] ganymede_graph::GraphError),
    /// The executor.
    #[error(transparent)]
    Cpu(#[from] ganymede_cpu::CpuError),
    /// Measuring what the machine can do.
    #[error(transparent)]
    Peak(#[from] ganymede_kernels::peak::PeakError),
    /// A score.
    #[error(transparent)]
    Metric(#[from] ganymede_metrics::MetricError),
    /// A score that these samples do not have, and why.
    #[error("{0}")]
    Unsuited(String),
    /// A file or folder of the run.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A request that cannot be met, in one sentence with what to do.
    #[error("{0}")]
    Refused(String),
    /// Work that was left because who follows it wished so.
    #[error("stopped")]
    Stopped,
    /// Training kept producing values that are not finite.
    #[error(
        "training diverged: after {rollbacks} rollbacks with lower learning rates, steps still give values that are \
         not finite (at step {step}); the last good checkpoint is {checkpoint}. {advice}"
    )]
    Diverged {
        /// Rollbacks done.
        rollbacks: u32,
        /// Where it stopped.
        step: u64,
        /// The last good checkpoint.
        checkpoint: String,
        /// What to try, in a sentence without its stop.
        advice: String,
    },
}

impl Error {
    /// Adds a path and an action to an I/O error.
    pub fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.display().to_string();
        move |source| Error::Io { path, action, source }
    }
}
