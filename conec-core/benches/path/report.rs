//! What was measured: for tables, and as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::{harness::table::median, run::Seen};

/// The medians of several runs of one connection on one path.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Record {
    pub(crate) group: &'static str,
    pub(crate) case: String,
    pub(crate) connection: String,
    /// Megabits per second at the far end.
    pub(crate) rate: f64,
    /// That, beside bare quinn-proto's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_bare: Option<f64>,
    /// That, beside the same connection's on the path without faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_clean: Option<f64>,
    /// Which part of the bytes that arrived was there already. Not known where the connection ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wasted: Option<f64>,
    /// Which part of the packets was dropped on the way.
    pub(crate) dropped: f64,
    /// In milliseconds: how long small messages took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
    /// Jain's index of the connections that share a link: the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fairness: Option<f64>,
    /// What it carries beside another connection, of what it carries alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keeps: Option<f64>,
    pub(crate) runs: usize,
    /// How it ended before its time, where it did: in the first such run, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) death: Option<Death>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Death {
    pub(crate) runs: usize,
    pub(crate) seconds: f64,
    pub(crate) reason: String,
}

impl Record {
    pub(crate) fn new(
        group: &'static str,
        case: &str,
        connection: impl ToString,
        runs: &[Seen],
    ) -> Self {
        let latencies = |part| median_of(runs, |seen| percentile(&seen.latencies, part));
        let small = runs.iter().any(|seen| !seen.latencies.is_empty());
        let deaths = runs.iter().filter_map(|seen| seen.death.as_ref());
        let first = deaths.clone().min_by_key(|(at, _)| *at);
        Self {
            group,
            case: case.to_owned(),
            connection: connection.to_string(),
            rate: median_of(runs, |seen| seen.rate),
            dropped: median_of(runs, |seen| seen.dropped),
            p50: small.then(|| latencies(0.5)),
            p99: small.then(|| latencies(0.99)),
            runs: runs.len(),
            death: first.map(|(at, reason)| Death {
                runs: deaths.count(),
                seconds: at.as_secs_f64(),
                reason: reason.clone(),
            }),
            ..Self::default()
        }
    }

    /// A cell that cannot hide a death.
    pub(crate) fn cell(&self, figure: String) -> String {
        match &self.death {
            None => figure,
            Some(death) => format!(
                "{figure} DEAD at {:.1} s, {} of {}",
                death.seconds, death.runs, self.runs
            ),
        }
    }
}

/// Why connections have ended before their time.
pub(crate) fn print_deaths(records: &[Record]) {
    for record in records {
        if let Some(death) = &record.death {
            let Record {
                group,
                case,
                connection,
                ..
            } = record;
            let reason = &death.reason;
            println!("DEAD: {group}, {case}, {connection}: {reason}");
        }
    }
}

pub(crate) fn median_of(runs: &[Seen], figure: impl Fn(&Seen) -> f64) -> f64 {
    median(runs.iter().map(figure).collect())
}

/// In milliseconds.
fn percentile(latencies: &[Duration], part: f64) -> f64 {
    let mut latencies = latencies.to_vec();
    latencies.sort();
    let rank = (latencies.len() as f64 * part).ceil() as usize;
    let latency = latencies.get(rank.saturating_sub(1));
    latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

pub(crate) fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}
