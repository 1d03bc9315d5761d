//! Times of many round trips.

use std::{fmt, time::Duration};

use serde::Serialize;

/// The times of those that came back.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<Duration>);

/// What is said of them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Summary {
    #[serde(rename = "min_ms", serialize_with = "milliseconds")]
    least: Duration,
    #[serde(rename = "mean_ms", serialize_with = "milliseconds")]
    mean: Duration,
    #[serde(rename = "median_ms", serialize_with = "milliseconds")]
    median: Duration,
    #[serde(rename = "p99_ms", serialize_with = "milliseconds")]
    p99: Duration,
    #[serde(rename = "max_ms", serialize_with = "milliseconds")]
    most: Duration,
}

impl Times {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// `None` of nothing.
    pub(super) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        Some(Summary {
            least: *sorted.first()?,
            mean: sorted.iter().sum::<Duration>() / count,
            median: quantile(&sorted, 50)?,
            p99: quantile(&sorted, 99)?,
            most: *sorted.last()?,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            least,
            mean,
            median,
            p99,
            most,
        } = self;
        write!(
            f,
            "min {least:.1?}, mean {mean:.1?}, median {median:.1?}, p99 {p99:.1?}, max {most:.1?}"
        )
    }
}

/// The smallest that so many percent are no larger than.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// As JSON has it, to the microsecond.
pub(super) fn in_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn milliseconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(in_ms(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_measured() {
        let mut times = Times::default();
        assert!(times.summary().is_none());
        for ms in (1..=200).rev() {
            times.add(Duration::from_millis(ms));
        }
        let summary = times.summary().unwrap();
        let ms = Duration::as_millis;
        assert_eq!(
            [summary.least, summary.median, summary.p99, summary.most].map(|it| ms(&it)),
            [1, 100, 198, 200]
        );
        assert_eq!(ms(&summary.mean), 100);
    }
}
