//! Batches prepared ahead of their use, on a thread of their own.

use crate::{
    dataset::Dataset,
    error::DataError,
    shuffle::{ClassOrder, Order},
};
use std::{
    any::Any,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Batches waiting in the channel. With the one being written, three are ahead of the consumer.
const DEPTH: usize = 2;

/// Positions a loader can visit: 2^63, so that cursor arithmetic cannot overflow.
const LIMIT: u64 = 1 << 63;

/// How items are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Every item once an epoch, in shuffled order.
    #[default]
    Shuffled,
    /// Every class equally often: of C classes each run of C positions that begins at a multiple of C holds each once, in
    /// shuffled order, and each class serves its own items in epochs of its own.
    ClassBalanced,
}

impl Sampling {
    /// Whether items of `set` can be chosen so.
    ///
    /// # Errors
    /// Classes of a set that has none, or that never ends.
    pub fn check(self, set: &Dataset) -> Result<(), DataError> {
        let refuse = |reason: &str| {
            Err(DataError::Unbalanced { spec: set.spec().to_owned(), reason: reason.to_owned() })
        };
        match (self, set.classes(), set.len()) {
            (Self::Shuffled, _, _) | (Self::ClassBalanced, Some(_), Some(_)) => Ok(()),
            (Self::ClassBalanced, None, _) => refuse(
                "needs labels, and the set has none: leave train.class_balanced out, or give labelled data",
            ),
            (Self::ClassBalanced, Some(_), None) => refuse(
                "needs a set with an end: choose a number of items with `limit`, or leave train.class_balanced out",
            ),
        }
    }
}

/// Items for one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[batch, shape...]`, row-major.
    pub data: Vec<f32>,
    /// `[batch]`, when the set is labelled.
    pub labels: Option<Vec<i32>>,
    /// The position after this batch: a loader started there continues with the next one.
    pub cursor_after: u64,
    /// The epoch of the first item (0 for infinite sets).
    pub epoch: u64,
}

/// Serves consecutive batches of a shuffled set.
///
/// The stream of positions 0, 1, 2, ... is mapped to items by (seed, epoch) alone, and a batch is the next `batch`
/// positions, across the end of an epoch if need be. So batches depend on (seed, cursor) and never on thread timing,
/// and the stream does not depend on the batch size. The same holds for class-balanced sampling ([`Sampling`]).
pub struct Loader {
    spec: String,
    ready: Option<Receiver<Result<Batch, DataError>>>,
    used: Sender<Batch>,
    worker: Option<JoinHandle<()>>,
    cursor: u64,
    batches: u64,
    waited: Duration,
}

impl Loader {
    /// Starts preparing batches from position `cursor` of the order that `seed` gives.
    ///
    /// # Errors
    /// A batch of 0 or of more items than the set has, a cursor beyond 2^63, a thread that cannot be started.
    pub fn new(dataset: Arc<Dataset>, batch: usize, seed: u64, cursor: u64) -> Result<Self, DataError> {
        Self::with_sampling(dataset, batch, seed, cursor, Sampling::Shuffled)
    }

    /// [`Loader::new`] with another way to choose items.
    ///
    /// # Errors
    /// Those of [`Loader::new`] and of [`Sampling::check`].
    pub fn with_sampling(
        dataset: Arc<Dataset>,
        batch: usize,
        seed: u64,
        cursor: u64,
        sampling: Sampling,
    ) -> Result<Self, DataError> {
        let spec = dataset.spec().to_owned();
        if batch == 0 {
            return Err(DataError::ZeroBatch { spec });
        }
        if let Some(items) = dataset.len()
            && batch as u64 > items
        {
            return Err(DataError::BatchTooLarge { spec, batch, items });
        }
        check_cursor(cursor)?;
        sampling.check(&dataset)?;
        let order = match sampling {
            Sampling::Shuffled => Visits::Shuffled(Order::new(seed, dataset.len())),
            Sampling::ClassBalanced => {
                let classes = dataset.classes().map_or(0, <[String]>::len);
                Visits::ClassBalanced(ClassOrder::new(seed, &dataset.labels_of_all()?, classes))
            }
        };
        let (ready_sender, ready) = sync_channel(DEPTH);
        let (used, used_receiver) = channel();
        let preparer = Preparer { order, dataset, batch, indices: Vec::new() };
        let worker = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || preparer.run(cursor, &ready_sender, &used_receiver))
            .map_err(|error| DataError::Worker { spec: spec.clone(), reason: error.to_string() })?;
        let (ready, worker) = (Some(ready), Some(worker));
        Ok(Self { spec, ready, used, worker, cursor, batches: 0, waited: Duration::ZERO })
    }

    /// Bytes of memory that a loader takes: the order of an epoch, and the batches that are waiting, being written, and
    /// in use.
    pub fn held_bytes(dataset: &Dataset, batch: usize) -> u64 {
        let item = dataset.elements() * size_of::<f32>() + size_of::<i32>();
        let order = dataset.len().unwrap_or(0).saturating_mul(size_of::<u64>() as u64);
        order + ((DEPTH + 2) * batch * item) as u64
    }

    /// The next batch; blocks while it is being prepared (see [`Loader::waited`]).
    ///
    /// # Errors
    /// What went wrong on the preparing thread, its panic included. Every later call fails as well.
    pub fn next_batch(&mut self) -> Result<Batch, DataError> {
        let start = Instant::now();
        let received = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        self.waited += start.elapsed();
        let batch = match received {
            Some(result) => result?,
            None => return Err(DataError::Worker { spec: self.spec.clone(), reason: self.post_mortem() }),
        };
        self.cursor = batch.cursor_after;
        self.batches += 1;
        Ok(batch)
    }

    /// Hands a used batch back, so that its buffers are written again instead of allocated.
    pub fn recycle(&self, batch: Batch) {
        // A send fails when the thread has ended; then there is nothing left to save.
        let _ = self.used.send(batch);
    }

    /// The position after the last batch served: what a checkpoint keeps.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Batches served so far.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// How long [`Loader::next_batch`] has blocked in all: the time training lost to data.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    fn post_mortem(&mut self) -> String {
        self.ready = None;
        match self.worker.take().map(JoinHandle::join) {
            Some(Err(panic)) => panic_message(&*panic),
            Some(Ok(())) | None => "it has ended after an earlier error".to_owned(),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, and it returns.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            // A panic that nobody asked for any more is not passed on.
            let _ = worker.join();
        }
    }
}

fn check_cursor(cursor: u64) -> Result<(), DataError> {
    if cursor > LIMIT { Err(DataError::Cursor { cursor, limit: LIMIT }) } else { Ok(()) }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

/// The order in which items are visited.
enum Visits {
    Shuffled(Order),
    ClassBalanced(ClassOrder),
}

impl Visits {
    fn index(&mut self, position: u64) -> u64 {
        match self {
            Self::Shuffled(order) => order.index(position),
            Self::ClassBalanced(order) => order.index(position),
        }
    }

    fn epoch(&self, position: u64) -> u64 {
        match self {
            Self::Shuffled(order) => order.epoch(position),
            Self::ClassBalanced(order) => order.epoch(position),
        }
    }
}

/// The thread's side.
struct Preparer {
    dataset: Arc<Dataset>,
    order: Visits,
    batch: usize,
    indices: Vec<u64>,
}

impl Preparer {
    fn run(mut self, start: u64, ready: &SyncSender<Result<Batch, DataError>>, used: &Receiver<Batch>) {
        let mut cursor = start;
        loop {
            let prepared = self.prepare(cursor, used.try_recv().ok());
            let ended = prepared.is_err();
            cursor = cursor.saturating_add(self.batch as u64);
            if ready.send(prepared).is_err() || ended {
                return;
            }
        }
    }

    fn prepare(&mut self, cursor: u64, used: Option<Batch>) -> Result<Batch, DataError> {
        check_cursor(cursor)?;
        let labelled = self.dataset.classes().is_some();
        let (mut data, labels) = used.map(|batch| (batch.data, batch.labels)).unwrap_or_default();
        let mut labels = labels.unwrap_or_default();
        data.resize(self.batch * self.dataset.elements(), 0.0);
        labels.resize(self.batch, 0);
        let cursor_after = cursor + self.batch as u64;
        self.indices.clear();
        self.indices.extend((cursor..cursor_after).map(|position| self.order.index(position)));
        self.dataset.fill(&self.indices, &mut data, labelled.then_some(&mut labels[..]))?;
        let epoch = self.order.epoch(cursor);
        Ok(Batch { data, labels: labelled.then_some(labels), cursor_after, epoch })
    }
}
