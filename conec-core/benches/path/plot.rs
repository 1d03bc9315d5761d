//! The results as a picture.

use std::{error::Error, path::Path};

use plotters::{coord::Shift, prelude::*};

use crate::report::Record;

/// Draws a panel of bars for each group of cases that was measured, one below the other.
pub(crate) fn draw(records: &[Record], file: &Path) -> Result<(), Box<dyn Error>> {
    let panels = PANELS
        .iter()
        .map(|&(group, title, figure)| {
            let of_group = |record: &&Record| record.group == group && figure(record).is_some();
            let records = records.iter().filter(of_group).collect();
            Panel {
                title,
                figure,
                records,
            }
        })
        .filter(|panel: &Panel<'_>| !panel.records.is_empty())
        .collect::<Vec<_>>();
    let height = panels.iter().map(Panel::height).sum::<i32>();
    let area = SVGBackend::new(file, (WIDTH, height.max(1) as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut rest = area.clone();
    for panel in panels {
        let (mine, below) = rest.split_vertically(panel.height());
        panel.draw(&mine)?;
        rest = below;
    }
    area.present()?;
    Ok(())
}

/// What is shown of a record, if it has such a thing.
type Figure = fn(&Record) -> Option<f64>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

struct Panel<'a> {
    title: &'static str,
    figure: Figure,
    records: Vec<&'a Record>,
}

impl Panel<'_> {
    /// What is measured on one path stands together.
    fn cases(&self) -> impl Iterator<Item = &[&Record]> {
        self.records.chunk_by(|one, next| one.case == next.case)
    }

    fn height(&self) -> i32 {
        let gaps = self.cases().count() as i32 * GAP;
        TOP + gaps + self.records.len() as i32 * LINE
    }

    fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let text = |text: &str, at: (i32, i32), size: i32, color: &RGBColor| {
            let style = (FONT, size).into_font().color(color);
            area.draw(&Text::new(text.to_owned(), at, style))
        };
        text(self.title, (16, 12), 16, &BLACK)?;
        let figures = self
            .records
            .iter()
            .filter_map(|record| (self.figure)(record));
        let longest = figures.fold(f64::MIN_POSITIVE, f64::max);
        let scale = f64::from(WIDTH as i32 - LEFT - RIGHT) / longest;
        let mut top = TOP;
        for case in self.cases() {
            text(&case[0].case, (16, top - 1), 12, &BLACK)?;
            for record in case {
                let figure = (self.figure)(record).unwrap_or(0.0);
                let to = LEFT + (figure * scale) as i32;
                let corners = [(LEFT, top), (to.max(LEFT + 1), top + LINE - 2)];
                area.draw(&Rectangle::new(corners, color(record).filled()))?;
                text(&record.connection, (NAMES, top - 1), 11, &NAME)?;
                let digits = if figure < 10.0 { 2 } else { 0 };
                let value = record.cell(format!("{figure:.digits$}"));
                let color = if record.death.is_some() { &RED } else { &BLACK };
                text(&value, (to + 6, top - 1), 11, color)?;
                top += LINE;
            }
            top += GAP;
        }
        Ok(())
    }
}

/// conec's in colour, others in grey.
fn color(record: &Record) -> RGBColor {
    let connection = &record.connection;
    let conec = [
        "to the Coordinator",
        "between Clients",
        "from the Coordinator",
    ];
    match conec.iter().position(|name| connection.contains(name)) {
        None => OTHERS,
        Some(index) => CONEC[index],
    }
}

/// By group: what it is about, and what is shown.
const PANELS: [(&str, &str, Figure); 4] = [
    ("bulk", "Bulk, Mbit/s", |record| Some(record.rate)),
    (
        "small",
        "64 B messages beside bulk, p99 of one way, ms (less is better)",
        |record| record.p99,
    ),
    (
        "fairness",
        "Two connections that share 100 Mbit/s, Mbit/s of each",
        |record| Some(record.rate),
    ),
    (
        "long fat path",
        "Bulk, 100 ms there and back, Mbit/s",
        |record| Some(record.rate),
    ),
];
const WIDTH: u32 = 1100;
const NAMES: i32 = 270;
const LEFT: i32 = 480;
const RIGHT: i32 = 170;
const TOP: i32 = 40;
const LINE: i32 = 13;
const GAP: i32 = 6;
const FONT: &str = "sans-serif";
const CONEC: [RGBColor; 3] = [
    RGBColor(24, 119, 141),
    RGBColor(68, 160, 180),
    RGBColor(130, 195, 208),
];
const OTHERS: RGBColor = RGBColor(150, 150, 150);
const NAME: RGBColor = RGBColor(110, 110, 110);
