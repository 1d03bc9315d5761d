//! Figures, side by side.

use std::fmt;

/// Rows of figures in Markdown.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            // As many as HEAD says.
            rows: vec![head.map(str::to_owned).into(), vec!["-".to_owned(); N]],
        }
    }

    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }

    /// Unless nothing was measured.
    pub(crate) fn print(&self) {
        if self.rows.len() > HEAD {
            println!("{self}");
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
        };
        let widths = (0..columns)
            .map(|column| width(column).unwrap_or(0))
            .collect::<Vec<_>>();
        for row in &self.rows {
            for (cell, &width) in row.iter().zip(&widths) {
                if cell == "-" {
                    write!(f, "| {} ", "-".repeat(width))?;
                } else {
                    write!(f, "| {cell:width$} ")?;
                }
            }
            writeln!(f, "|")?;
        }
        Ok(())
    }
}

pub(crate) fn figure(value: f64) -> String {
    let digits = match value {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// A ratio, and whether it is what is wanted.
pub(crate) fn ratio(value: f64, wanted: Option<(&str, f64)>) -> String {
    match wanted {
        None => format!("{value:.2}"),
        Some((sign, bound)) => {
            let kept = if sign == "≥" {
                value >= bound
            } else {
                value <= bound
            };
            format!(
                "{value:.2} ({sign} {bound:.2}: {})",
                if kept { "kept" } else { "missed" }
            )
        }
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        (figures[middle - 1] + figures[middle]) / 2.0
    }
}

const HEAD: usize = 2;
