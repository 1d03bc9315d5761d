//! A lock that is never held for long.

use std::{hint, thread, time::Duration};

use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A spin lock. Unlocking is one store: there are no parked waiters to look for, which for something as small as adding a
/// message would be half of the cost.
///
/// A thread that finds it taken spins for a short time. If it is taken still, its holder has probably been descheduled, so
/// the thread sleeps: unlike yielding, this lets threads of lower priority run as well.
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
                        // In two steps, between which another thread would interfere.
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
