//! The loader: order, resumption, independence of timing, errors from its thread, and that it waits on nobody.

use ganymede_data::{Batch, ContentHash, DataError, Dataset, Items, Loader, OpenOptions, open};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::Duration,
};

/// Items that are their own index; slow by `pause` a batch; panics at item `fatal`.
struct Numbers {
    count: Option<u64>,
    pause: Duration,
    fatal: Option<u64>,
    filled: Arc<AtomicU64>,
}

impl Items for Numbers {
    fn count(&self) -> Option<u64> {
        self.count
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        sleep(self.pause);
        assert!(!indices.iter().any(|&index| Some(index) == self.fatal), "item of doom");
        indices.iter().zip(out).for_each(|(&index, value)| *value = index as f32);
        if let Some(labels) = labels {
            indices.iter().zip(labels).for_each(|(&index, label)| *label = -(index as i32));
        }
        self.filled.fetch_add(1, Ordering::SeqCst);
    }
}

fn numbers(count: Option<u64>) -> Numbers {
    Numbers { count, pause: Duration::ZERO, fatal: None, filled: Arc::default() }
}

fn set(items: Numbers) -> Arc<Dataset> {
    Arc::new(
        Dataset::new("numbers", &[1], ContentHash([0; 32]), Box::new(items)).with_classes(vec!["any".into()]),
    )
}

fn serve(loader: &mut Loader, batches: usize) -> Vec<Batch> {
    (0..batches).map(|_| loader.next_batch().unwrap()).collect()
}

fn stream(batches: &[Batch]) -> Vec<f32> {
    batches.iter().flat_map(|batch| batch.data.clone()).collect()
}

#[test]
fn each_epoch_visits_every_item_once_across_batch_ends() {
    let mut loader = Loader::new(set(numbers(Some(50))), 8, 1, 0).unwrap();
    let batches = serve(&mut loader, 25);
    let values = stream(&batches);
    for epoch in 0..4 {
        let mut items = values[epoch * 50..(epoch + 1) * 50].to_vec();
        items.sort_by(f32::total_cmp);
        assert!(items.into_iter().eq((0..50_u8).map(f32::from)), "epoch {epoch}");
    }
    for (i, batch) in batches.iter().enumerate() {
        assert_eq!((batch.cursor_after, batch.epoch), ((i as u64 + 1) * 8, i as u64 * 8 / 50));
        let negated: Vec<f32> = batch.labels.as_ref().unwrap().iter().map(|&label| -label as f32).collect();
        assert_eq!(negated, batch.data);
    }
    assert_eq!((loader.cursor(), loader.batches()), (200, 25));
}

#[test]
fn the_stream_does_not_depend_on_the_batch_size() {
    let of = |batch: usize| {
        let mut loader = Loader::new(set(numbers(Some(30))), batch, 5, 0).unwrap();
        stream(&serve(&mut loader, 210 / batch))
    };
    let whole = of(30);
    assert_eq!(whole.len(), 210);
    for batch in [1, 7, 10, 21] {
        assert_eq!(of(batch), whole);
    }
}

#[test]
fn resuming_at_a_cursor_continues_bit_for_bit() {
    for spec in ["glyphs", "synthetic:ring8"] {
        let set = Arc::new(open(spec, &OpenOptions::default()).unwrap());
        let all = serve(&mut Loader::new(set.clone(), 16, 9, 0).unwrap(), 6);
        let mut resumed = Loader::new(set, 16, 9, all[2].cursor_after).unwrap();
        assert_eq!(serve(&mut resumed, 3), all[3..]);
    }
    let finite = set(numbers(Some(50)));
    let all = serve(&mut Loader::new(finite.clone(), 8, 9, 0).unwrap(), 20);
    assert_eq!(serve(&mut Loader::new(finite, 8, 9, all[9].cursor_after).unwrap(), 10), all[10..]);
}

#[test]
fn timing_and_recycling_change_nothing() {
    let quick = serve(&mut Loader::new(set(numbers(Some(40))), 7, 3, 0).unwrap(), 12);
    let slow = set(Numbers { pause: Duration::from_millis(2), ..numbers(Some(40)) });
    let mut loader = Loader::new(slow, 7, 3, 0).unwrap();
    for (i, expected) in quick.iter().enumerate() {
        if i % 3 == 0 {
            sleep(Duration::from_millis(5));
        }
        let mut batch = loader.next_batch().unwrap();
        assert_eq!(&batch, expected);
        // What the consumer leaves in a buffer must not show in a later batch.
        batch.data.fill(f32::NAN);
        batch.labels = if i % 2 == 0 { None } else { Some(vec![77; 100]) };
        batch.data.truncate(i);
        loader.recycle(batch);
    }
}

#[test]
fn the_seed_chooses_the_order() {
    let of = |seed| stream(&serve(&mut Loader::new(set(numbers(Some(100))), 50, seed, 0).unwrap(), 2));
    assert_ne!(of(1), of(2));
    // Seeds that differ in their high half only.
    assert_ne!(of(1), of(1 << 32 | 1));
    assert_eq!(of(1), of(1));
}

#[test]
fn it_works_ahead_but_not_without_end() {
    let items = numbers(None);
    let filled = items.filled.clone();
    let mut loader = Loader::new(set(items), 4, 0, 0).unwrap();
    loader.next_batch().unwrap();
    let mut seen = 0;
    for _ in 0..400 {
        sleep(Duration::from_millis(5));
        seen = filled.load(Ordering::SeqCst);
        if seen == 4 {
            break;
        }
    }
    assert_eq!(seen, 4, "one served, two waiting, one about to be sent");
    sleep(Duration::from_millis(20));
    assert_eq!(filled.load(Ordering::SeqCst), 4);
}

#[test]
fn waiting_is_counted_when_it_happens_and_only_then() {
    let slow = set(Numbers { pause: Duration::from_millis(20), ..numbers(None) });
    let mut loader = Loader::new(slow, 4, 0, 0).unwrap();
    serve(&mut loader, 5);
    assert!(loader.waited() >= Duration::from_millis(60), "{:?}", loader.waited());

    // A batch takes 5 ms to prepare and its consumer 20, so preparing is done while the consumer is busy. Prepared only
    // on demand, twenty batches would be waited for 100 ms at least; a quarter of that allows for a machine that lets
    // the thread wait now and then: three batches ahead, it can lose 60 ms before anybody waits for it.
    let pause = Duration::from_millis(5);
    let items = set(Numbers { pause, ..numbers(None) });
    let mut loader = Loader::new(items, 4, 0, 0).unwrap();
    loader.next_batch().unwrap();
    let before = loader.waited();
    for _ in 0..20 {
        sleep(4 * pause);
        let batch = loader.next_batch().unwrap();
        loader.recycle(batch);
    }
    let waited = loader.waited() - before;
    assert!(waited < 20 * pause / 4, "waited {waited:?} for batches that were ready");
}

#[test]
fn a_panic_on_the_thread_is_an_error_here() {
    let fatal = set(Numbers { fatal: Some(10), ..numbers(None) });
    let mut loader = Loader::new(fatal, 4, 0, 0).unwrap();
    assert_eq!(loader.next_batch().unwrap().data, [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(loader.next_batch().unwrap().data, [4.0, 5.0, 6.0, 7.0]);
    let text = loader.next_batch().unwrap_err().to_string();
    assert!(text.contains("preparing batches of numbers stopped: item of doom"), "{text}");
    assert!(matches!(loader.next_batch(), Err(DataError::Worker { .. })), "and stays one");
}

#[test]
fn an_error_on_the_thread_is_that_error_here() {
    let mut loader = Loader::new(set(numbers(None)), 4, 0, (1 << 63) - 3).unwrap();
    assert!(loader.next_batch().is_ok());
    assert!(matches!(loader.next_batch(), Err(DataError::Cursor { .. })));
    assert!(matches!(loader.next_batch(), Err(DataError::Worker { .. })));
}

#[test]
fn dropping_ends_the_thread() {
    let items = numbers(None);
    let filled = items.filled.clone();
    let data = set(items);
    let loader = Loader::new(data.clone(), 4, 0, 0).unwrap();
    drop(loader);
    // The thread held the second reference; it is gone, so the thread has ended.
    assert_eq!(Arc::strong_count(&data), 1);
    let after = filled.load(Ordering::SeqCst);
    sleep(Duration::from_millis(10));
    assert_eq!(filled.load(Ordering::SeqCst), after);
}

#[test]
fn impossible_requests_are_refused() {
    let error =
        |batch, cursor| Loader::new(set(numbers(Some(10))), batch, 0, cursor).err().unwrap().to_string();
    assert_eq!(
        error(11, 0),
        "batch of 11 is larger than numbers, which has 10 items: use a batch of at most 10"
    );
    assert!(error(0, 0).contains("at least one item"));
    assert!(error(4, u64::MAX).contains("cursor 18446744073709551615"));
    assert!(Loader::new(set(numbers(Some(10))), 10, 0, 0).is_ok());
    assert!(Loader::new(set(numbers(None)), 1000, 0, 0).is_ok());
}
