//! A lock that is never held for long.

use std::{hint, thread, time::Duration};

use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A lock that everybody lets go of at once.
///
/// Nobody sleeps at it who would have to be woken. So to let go of it is to write a byte, which costs nothing beside what it
/// takes to look for sleepers: for as little as a small message that is half of the lock.
///
/// Who finds it taken tries again. If that is of no use, the system must have put aside who has it, and the processor is
/// left to others for a while: also to those of lower priority, unlike by yielding.
pub(super) struct BriefLock<T>(SpinMutex<T>);

impl<T> BriefLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    #[inline]
    pub(super) fn lock(&self) -> SpinMutexGuard<'_, T> {
        let mut tries = 0..TRIES;
        loop {
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
            match tries.next() {
                Some(_) => hint::spin_loop(),
                None => thread::sleep(PAUSE),
            }
        }
    }
}

const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_it_is_waited_for_however_long_it_takes() {
        let lock = BriefLock::new(0);
        thread::scope(|scope| {
            let mut held = lock.lock();
            let waits = scope.spawn(|| *lock.lock());
            thread::sleep(Duration::from_millis(20));
            assert!(!waits.is_finished());
            *held = 1;
            drop(held);
            assert_eq!(waits.join().unwrap(), 1);
        });
    }

    #[test]
    fn one_has_it_at_a_time() {
        let lock = BriefLock::new(0_u64);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let mut held = lock.lock();
                        // In two steps that others would get between.
                        let value = *held;
                        hint::black_box(());
                        *held = value + 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 40_000);
    }
}
