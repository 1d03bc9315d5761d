//! Simulations side by side, on all processors.
#![expect(clippy::disallowed_types, reason = "the core is not concerned")]

use std::{
    num::NonZeroUsize,
    sync::{Mutex, mpsc},
    thread,
};

/// What becomes of each item, in the same order.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let items = Mutex::new(items.into_iter().enumerate());
    let (results, received) = mpsc::channel();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            let results = results.clone();
            let (items, work) = (&items, &work);
            scope.spawn(move || {
                loop {
                    let item = items.lock().expect("nobody panics with it").next();
                    let Some((index, item)) = item else {
                        break;
                    };
                    if results.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
    });
    drop(results);
    let mut results = received.into_iter().collect::<Vec<_>>();
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}
