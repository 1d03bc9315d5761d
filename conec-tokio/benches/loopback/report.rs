//! Medians, tables, and the ratios that matter.

use std::fmt;

use serde::Serialize;

use crate::{
    load::Load,
    stack::{Measured, Stack},
};

/// Everything that was measured, in order.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    stack: Stack,
    load: Load,
    measured: Measured,
}

/// A ratio that is to be kept, or a figure.
struct Promise {
    what: &'static str,
    of: (Stack, Load),
    to: Option<(Stack, Load)>,
    figure: fn(&Measured) -> Option<f64>,
    bound: Bound,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Results {
    pub(crate) fn add(&mut self, stack: Stack, load: Load, measured: Measured) {
        self.runs.push(Run {
            stack,
            load,
            measured,
        });
    }

    pub(crate) fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for run in &self.runs {
            if !loads.contains(&run.load) {
                loads.push(run.load);
            }
        }
        loads
    }

    pub(crate) fn stacks(&self) -> impl Iterator<Item = Stack> {
        let measured = |stack: &Stack| self.runs.iter().any(|run| run.stack == *stack);
        Stack::ALL.into_iter().filter(measured)
    }

    /// The names of a stack's processes.
    pub(crate) fn processes(&self, stack: Stack) -> Vec<&str> {
        let run = self.runs.iter().find(|run| run.stack == stack);
        run.map_or_else(Vec::new, |run| {
            run.measured
                .processes
                .iter()
                .map(|used| used.name.as_str())
                .collect()
        })
    }

    /// The median of a figure over all rounds.
    pub(crate) fn median(
        &self,
        stack: Stack,
        load: Load,
        figure: impl Fn(&Measured) -> Option<f64>,
    ) -> Option<f64> {
        median(self.figures(stack, load, figure).collect())
    }

    fn figures(
        &self,
        stack: Stack,
        load: Load,
        figure: impl Fn(&Measured) -> Option<f64>,
    ) -> impl Iterator<Item = f64> {
        let runs = self
            .runs
            .iter()
            .filter(move |run| run.stack == stack && run.load == load);
        runs.filter_map(move |run| figure(&run.measured))
    }

    fn ratio(&self, promise: &Promise) -> Option<f64> {
        let figures = |(stack, load)| self.figures(stack, load, promise.figure);
        let of = figures(promise.of);
        match promise.to.map(figures) {
            None => median(of.collect()),
            Some(to) => median(of.zip(to).map(|(of, to)| of / to).collect()),
        }
    }
}

/// MB/s for bulk, K messages/s for messages, µs for the median round trip.
pub(crate) fn speed(load: Load) -> (&'static str, fn(&Measured) -> Option<f64>) {
    match load {
        Load::Bulk | Load::Transfer => ("MB/s", |measured| Some(throughput(measured)? / 1e6)),
        Load::Messages { .. } => ("K/s", |measured| Some(messages(measured)? / 1e3)),
        Load::Calls { .. } => ("K/s", |measured| Some(messages(measured)? / 1e3)),
        Load::ManyCalls => ("ms", |measured| Some(round_trip(measured)? * 1e3)),
        Load::PingPong => ("µs p50", |measured| Some(round_trip(measured)? * 1e6)),
    }
}

pub(crate) fn throughput(measured: &Measured) -> Option<f64> {
    Some(measured.bytes as f64 / measured.seconds)
}

fn messages(measured: &Measured) -> Option<f64> {
    Some(measured.messages as f64 / measured.seconds)
}

fn round_trip(measured: &Measured) -> Option<f64> {
    Some(measured.round_trip?.0)
}

/// CPU seconds of one process for each GB.
pub(crate) fn cpu_per_gb(process: usize) -> impl Fn(&Measured) -> Option<f64> {
    move |measured| {
        let cpu = measured.processes.get(process)?.cpu_seconds;
        (measured.bytes > 0).then(|| cpu * 1e9 / measured.bytes as f64)
    }
}

fn relay_cpu(measured: &Measured) -> Option<f64> {
    cpu_per_gb(1)(measured)
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        len if len % 2 == 1 => Some(figures[middle]),
        _ => Some((figures[middle - 1] + figures[middle]) / 2.0),
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_speeds(f)?;
        self.write_costs(f)?;
        self.write_promises(f)
    }
}

impl Results {
    fn write_speeds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loads = self.loads();
        let mut head = vec![String::new()];
        for &load in &loads {
            head.push(format!("{load}, {}", speed(load).0));
            if load == Load::PingPong {
                head.push("µs p99".into());
            }
        }
        let rows = self.stacks().map(|stack| {
            let mut row = vec![stack.to_string()];
            for &load in &loads {
                row.push(cell(self.median(stack, load, speed(load).1)));
                if load == Load::PingPong {
                    let p99 = |measured: &Measured| Some(measured.round_trip?.1 * 1e6);
                    row.push(cell(self.median(stack, load, p99)));
                }
            }
            row
        });
        write_table(f, &head, &rows.collect::<Vec<_>>())
    }

    /// CPU and memory, which say most where bytes are all that matters.
    fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(load) = self.loads().into_iter().find(|load| load.is_bulk()) else {
            return Ok(());
        };
        let head = ["", "process", "CPU s/GB", "peak MB"].map(str::to_owned);
        let mut rows = Vec::new();
        for stack in self.stacks() {
            for (index, process) in self.processes(stack).into_iter().enumerate() {
                let memory = |measured: &Measured| {
                    Some(measured.processes.get(index)?.peak_memory as f64 / 1e6)
                };
                rows.push(vec![
                    if index == 0 {
                        format!("{stack}, {load}")
                    } else {
                        String::new()
                    },
                    process.to_owned(),
                    cell(self.median(stack, load, cpu_per_gb(index))),
                    cell(self.median(stack, load, memory)),
                ]);
            }
        }
        write_table(f, &head, &rows)
    }

    fn write_promises(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["ratio", "wanted", "measured", ""].map(str::to_owned);
        let mut rows = Vec::new();
        for promise in &PROMISES {
            let Some(ratio) = self.ratio(promise) else {
                continue;
            };
            let (wanted, kept) = match promise.bound {
                Bound::AtLeast(bound) => (format!("≥ {bound:.2}"), ratio >= bound),
                Bound::AtMost(bound) => (format!("≤ {bound:.2}"), ratio <= bound),
            };
            rows.push(vec![
                promise.what.to_owned(),
                wanted,
                format!("{ratio:.2}"),
                if kept { "kept" } else { "missed" }.to_owned(),
            ]);
        }
        if rows.is_empty() {
            Ok(())
        } else {
            write_table(f, &head, &rows)
        }
    }
}

const PROMISES: [Promise; 9] = [
    Promise {
        what: "proxied bulk throughput / quinn stream relay's",
        of: (Stack::ConecProxied, Load::Bulk),
        to: Some((Stack::QuinnRelay, Load::Bulk)),
        figure: throughput,
        bound: Bound::AtLeast(2.5),
    },
    Promise {
        what: "proxied bulk throughput / quinn's over one hop",
        of: (Stack::ConecProxied, Load::Bulk),
        to: Some((Stack::Quinn, Load::Bulk)),
        figure: throughput,
        bound: Bound::AtLeast(1.0),
    },
    Promise {
        what: "Coordinator's CPU per proxied GB / quinn stream relay's",
        of: (Stack::ConecProxied, Load::Bulk),
        to: Some((Stack::QuinnRelay, Load::Bulk)),
        figure: relay_cpu,
        bound: Bound::AtMost(0.2),
    },
    Promise {
        what: "home channel's bulk throughput / quinn's over one hop",
        of: (Stack::ConecHome, Load::Bulk),
        to: Some((Stack::Quinn, Load::Bulk)),
        figure: throughput,
        bound: Bound::AtLeast(1.3),
    },
    Promise {
        what: "64 B messages, batched / quinn's over one hop",
        of: (Stack::ConecHome, Load::SMALL_BATCHED),
        to: Some((Stack::Quinn, Load::SMALL_BATCHED)),
        figure: messages,
        bound: Bound::AtLeast(1.5),
    },
    Promise {
        what: "64 B messages, each flushed / quinn's over one hop",
        of: (Stack::ConecHome, Load::SMALL_FLUSHED),
        to: Some((Stack::Quinn, Load::SMALL_FLUSHED)),
        figure: messages,
        bound: Bound::AtLeast(5.0),
    },
    Promise {
        what: "proxied ping-pong p50 / quinn stream relay's",
        of: (Stack::ConecProxied, Load::PingPong),
        to: Some((Stack::QuinnRelay, Load::PingPong)),
        figure: round_trip,
        bound: Bound::AtMost(0.75),
    },
    Promise {
        what: "calls of as many workers as streams / of one fewer",
        of: (Stack::ConecProxied, Load::MORE_WORKERS),
        to: Some((Stack::ConecProxied, Load::FEWER_WORKERS)),
        figure: messages,
        bound: Bound::AtLeast(0.8),
    },
    Promise {
        what: "10,000 calls at once, in seconds",
        of: (Stack::ConecProxied, Load::ManyCalls),
        to: None,
        figure: round_trip,
        bound: Bound::AtMost(1.0),
    },
];

fn cell(figure: Option<f64>) -> String {
    match figure {
        None => "–".into(),
        Some(figure) if figure < 10.0 => format!("{figure:.2}"),
        Some(figure) if figure < 100.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.0}"),
    }
}

/// In Markdown.
fn write_table(f: &mut fmt::Formatter<'_>, head: &[String], rows: &[Vec<String>]) -> fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).chain([&head[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths = (0..head.len()).map(width).collect::<Vec<_>>();
    let mut write_row = |cells: &[String]| {
        for (cell, &width) in cells.iter().zip(&widths) {
            write!(f, "| {cell:width$} ")?;
        }
        writeln!(f, "|")
    };
    write_row(head)?;
    let rule = widths
        .iter()
        .map(|&width| "-".repeat(width))
        .collect::<Vec<_>>();
    write_row(&rule)?;
    rows.iter().try_for_each(|row| write_row(row))?;
    writeln!(f)
}
