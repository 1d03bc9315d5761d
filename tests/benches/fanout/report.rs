//! Tables.

use serde::Serialize;

/// What has come of a case.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    case: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    figures: Vec<f64>,
}

impl Record {
    pub(crate) fn new(case: String, columns: &[&'static str]) -> Self {
        Self {
            case,
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, figures: impl IntoIterator<Item = f64>) {
        self.rows.push(Row {
            what: what.into(),
            figures: figures.into_iter().collect(),
        });
    }

    pub(crate) fn print(&self) {
        let line = |cells: &[String]| println!("| {} |", cells.join(" | "));
        let columns = self.columns.iter().map(|&it| it.to_owned());
        let head: Vec<_> = std::iter::once(self.case.clone()).chain(columns).collect();
        println!();
        line(&head);
        line(&vec!["---".to_owned(); head.len()]);
        for row in &self.rows {
            let figures = row.figures.iter().map(|&it| figure(it));
            let cells: Vec<_> = std::iter::once(row.what.clone()).chain(figures).collect();
            line(&cells);
        }
    }
}

fn figure(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
        _ if value >= 1000.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        len => (figures[(len - 1) / 2] + figures[len / 2]) / 2.0,
    }
}
