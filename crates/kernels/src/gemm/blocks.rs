//! How a product is cut into tasks and blocks: by shape and instruction set alone.

use super::tile::Geometry;
use crate::isa::Isa;

/// Longest block along k. A panel of B of this depth, 256 x 32 words, fills the L1 cache of 32 KiB, from where
/// all row panels of A reuse it.
const DEPTH: usize = 256;

/// What the cut takes from the instruction set.
struct Limits {
    /// Most rows of a task, whose block of A stays in L2.
    task_rows: usize,
    /// Columns of B packed at a time. One panel would do for the arithmetic; four make each row of B a run that memory
    /// streams better.
    strip_columns: usize,
    /// Fewest columns into which tasks are cut in the end: two panels.
    least_columns: usize,
    /// Work below which a task is not cut further, several times the cost of a barrier.
    task_flops: f64,
    /// Panels of B up to which rows of A that lie along k, and not too far from each other, are read where they are.
    unpacked: usize,
}

impl Limits {
    fn of(isa: Isa) -> Self {
        match isa {
            // Blocks of A of 256 x 256 words take a quarter of an L2 cache of 1 MiB.
            Isa::Portable | Isa::Avx512 => Self {
                task_rows: 256,
                strip_columns: 128,
                least_columns: 64,
                task_flops: 1e6,
                unpacked: UNPACKED,
            },
            // L2 of Zen and of Intel's cores of before is 256 or 512 KiB, and must hold the block of A, a strip of B, and
            // the next one that is being fetched. Tasks of half the speed are as long with half the work. A panel of 16
            // columns uses a word of A for two multiply-adds, one cycle: copying it with a transposition, half a
            // cycle, pays only over many panels.
            Isa::Avx2 => {
                Self { task_rows: 192, strip_columns: 128, least_columns: 32, task_flops: 2e6, unpacked: 16 }
            }
        }
    }
}

/// Panels of B up to which A is read where it is, however it lies.
const UNPACKED: usize = 2;

/// Longest rows of A that are read where they lie over more panels: 2 KiB apart, 256 of them spread over half the sets of an
/// L2 cache, and no more than that in a block of [`DEPTH`].
const NEAR: usize = 512;

/// Most columns of a task. Each task packs its own block of A, which costs less than 1 % of 1024 columns.
const TASK_COLUMNS: usize = 1024;

/// Tasks wanted where the work allows: two for each of 16 threads.
const WANTED: usize = 32;

/// Most words of partial sums (16 MiB).
const PARTIAL_WORDS: usize = 4 << 20;

/// A product without empty dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

/// The cut of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub extent: Extent,
    pub geometry: Geometry,
    /// Length of a block along k (the last one may be shorter).
    pub depth: usize,
    /// Blocks along k.
    pub depths: usize,
    /// Tiles along m, of nearly equal height.
    pub row_panels: usize,
    /// Tiles along n, all full but the last.
    pub column_panels: usize,
    /// Tasks along m.
    pub m_tasks: usize,
    /// Tasks along n.
    pub n_tasks: usize,
    /// Tasks along k, whose partial sums a second stage adds up.
    pub splits: usize,
    /// Matrices of the batch in one task.
    pub group: usize,
    /// Most panels of B for which A is not copied.
    unpacked: usize,
    /// Most columns of B packed at a time.
    strip_columns: usize,
}

/// The `i`-th of `parts` nearly equal stretches of `0..whole`.
pub(super) fn part(whole: usize, parts: usize, i: usize) -> std::ops::Range<usize> {
    // Divisions of u128 are calls, of which every tile would make two.
    let at = |i: usize| match whole.checked_mul(i) {
        Some(product) => product / parts,
        None => (whole as u128 * i as u128 / parts as u128) as usize,
    };
    at(i)..at(i + 1)
}

impl Blocks {
    /// Cuts a product, where `a_along_k` says that the rows of A lie along k.
    pub(super) fn new(isa: Isa, extent: Extent, a_along_k: bool) -> Self {
        let Extent { batch, m, n, k } = extent;
        let (geometry, limits) = (Geometry::of(isa), Limits::of(isa));
        let unpacked = if a_along_k && k <= NEAR { limits.unpacked } else { UNPACKED };
        // Where A is not copied, tasks had better be high, so that what each packs of B is little.
        let flat = if unpacked > UNPACKED { 4 } else { 1 };
        let depths = k.div_ceil(DEPTH);
        // A multiple of 16 keeps transposing packs in whole blocks.
        let depth = k.div_ceil(depths).next_multiple_of(16);
        let depths = k.div_ceil(depth);
        let row_panels = m.div_ceil(geometry.rows);
        let column_panels = n.div_ceil(geometry.columns());

        let flops = 2.0 * m as f64 * n as f64 * k as f64;
        let group = (limits.task_flops / flops).clamp(1.0, batch as f64) as usize;
        let groups = batch.div_ceil(group);
        let wanted = (flops * batch as f64 / limits.task_flops).clamp(1.0, WANTED as f64) as usize;

        let (mut m_tasks, mut n_tasks, mut splits) =
            (m.div_ceil(limits.task_rows), n.div_ceil(TASK_COLUMNS), 1);
        // Cutting m packs B once more, cutting n packs A once more, cutting k costs partial sums: first cut
        // while blocks stay large, then along k, and only then into small blocks.
        for (least_m, least_n, least_depths) in [(128, 256, 4), (32, limits.least_columns, 4)] {
            let enough =
                |m_tasks: usize, n_tasks: usize, splits: usize| groups * m_tasks * n_tasks * splits >= wanted;
            while !enough(m_tasks, n_tasks, splits) {
                let (rows, columns) = (m / m_tasks, n / n_tasks);
                if columns >= 2 * least_n && columns * flat >= rows {
                    n_tasks *= 2;
                } else if rows >= 2 * least_m {
                    m_tasks *= 2;
                } else if columns >= 2 * least_n {
                    n_tasks *= 2;
                } else {
                    break;
                }
            }
            while !enough(m_tasks, n_tasks, splits)
                && depths / (2 * splits) >= least_depths
                && (2 * splits * batch).saturating_mul(m * n) <= PARTIAL_WORDS
            {
                splits *= 2;
            }
        }
        let (m_tasks, n_tasks) = (m_tasks.min(row_panels), n_tasks.min(column_panels));
        Self {
            extent,
            geometry,
            depth,
            depths,
            row_panels,
            column_panels,
            m_tasks,
            n_tasks,
            splits,
            group,
            unpacked,
            strip_columns: limits.strip_columns,
        }
    }

    pub(super) fn groups(&self) -> usize {
        self.extent.batch.div_ceil(self.group)
    }

    pub(super) fn tasks(&self) -> usize {
        self.groups() * self.splits * self.n_tasks * self.m_tasks
    }

    /// Rows of a row panel.
    pub(super) fn rows(&self, panel: usize) -> std::ops::Range<usize> {
        part(self.extent.m, self.row_panels, panel)
    }

    /// Columns of a column panel.
    pub(super) fn columns(&self, panel: usize) -> std::ops::Range<usize> {
        let width = self.geometry.columns();
        panel * width..self.extent.n.min((panel + 1) * width)
    }

    /// Positions along k of a block.
    pub(super) fn depth(&self, block: usize) -> std::ops::Range<usize> {
        block * self.depth..self.extent.k.min((block + 1) * self.depth)
    }

    /// Most rows of any task.
    fn task_rows(&self) -> usize {
        let rows = |i| {
            let panels = part(self.row_panels, self.m_tasks, i);
            self.rows(panels.end - 1).end - self.rows(panels.start).start
        };
        (0..self.m_tasks).map(rows).max().unwrap_or(0)
    }

    /// Most column panels of any task.
    fn task_columns(&self) -> usize {
        self.column_panels.div_ceil(self.n_tasks)
    }

    /// Whether tasks copy their block of A: where it serves enough panels of B.
    pub(super) fn packs_a(&self) -> bool {
        self.task_columns() > self.unpacked
    }

    /// Column panels packed at a time.
    pub(super) fn strip(&self) -> usize {
        (self.strip_columns / self.geometry.columns()).min(self.task_columns()).max(1)
    }

    /// Words of a row of the result that are finished together.
    pub(super) fn run_words(&self) -> usize {
        self.extent.n.min(self.strip() * self.geometry.columns())
    }

    /// Words of a task's packed block of A, with room for a vector behind it.
    pub(super) fn packed_a(&self) -> usize {
        if self.packs_a() {
            (self.task_rows() * self.depth + self.geometry.lanes).next_multiple_of(16)
        } else {
            0
        }
    }

    /// Words of a task's packed strip of B.
    pub(super) fn packed_b(&self) -> usize {
        self.strip() * self.depth * self.geometry.columns()
    }

    /// Words of partial sums.
    pub(super) fn partials(&self) -> usize {
        let Extent { batch, m, n, .. } = self.extent;
        if self.splits > 1 { self.splits * batch * m * n } else { 0 }
    }
}
