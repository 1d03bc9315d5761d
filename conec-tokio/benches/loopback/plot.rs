//! The results as a picture.

use std::path::Path;

use plotters::prelude::*;

use crate::{
    load::Load,
    report::{Results, cpu_per_gb, speed},
    result::Result,
    stack::Stack,
};

/// Draws one panel of bars for each of the loads that say most, and one for what the processes take.
pub(crate) fn draw(results: &Results, file: &Path) -> Result<()> {
    let area = SVGBackend::new(file, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let panels = area.split_evenly((2, 2));
    let stacks = results.stacks().collect::<Vec<_>>();
    let loads = [
        (Load::Bulk, "Bulk, MB/s"),
        (Load::SMALL_FLUSHED, "64 B messages, each flushed, K/s"),
        (Load::PingPong, "Ping-pong, median, µs (less is better)"),
    ];
    for (panel, (load, title)) in panels.iter().zip(loads) {
        let bars = stacks.iter().map(|&stack| {
            let figure = results.median(stack, load, speed(load).1);
            vec![figure.unwrap_or(0.0)]
        });
        draw_panel(panel, title, &stacks, &bars.collect::<Vec<_>>())?;
    }
    let bars = stacks.iter().map(|&stack| {
        let processes = 0..results.processes(stack).len();
        let cpu = |process| results.median(stack, Load::Bulk, cpu_per_gb(process));
        processes
            .map(|process| cpu(process).unwrap_or(0.0))
            .collect()
    });
    let title = "Bulk, CPU s/GB: sender, relay, receiver (less is better)";
    draw_panel(&panels[3], title, &stacks, &bars.collect::<Vec<_>>())?;
    area.present()?;
    Ok(())
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One line for each stack; what is in a bar stands side by side.
fn draw_panel(panel: &Panel<'_>, title: &str, stacks: &[Stack], bars: &[Vec<f64>]) -> Result<()> {
    let (width, height) = panel.dim_in_pixel();
    let longest = bars.iter().map(|bar| bar.iter().sum()).fold(0.0, f64::max);
    let scale = f64::from(width as i32 - LEFT - RIGHT) / longest.max(f64::MIN_POSITIVE);
    panel.draw(&Text::new(
        title.to_owned(),
        (16, 14),
        (FONT, 16).into_font(),
    ))?;
    let line = (height as i32 - TOP) / stacks.len().max(1) as i32;
    for (row, (stack, bar)) in stacks.iter().zip(bars).enumerate() {
        let top = TOP + row as i32 * line;
        let label = (FONT, 13).into_font();
        panel.draw(&Text::new(
            stack.to_string(),
            (16, top + line / 2 - 10),
            label.clone(),
        ))?;
        let mut from = LEFT;
        for (part, value) in bar.iter().enumerate() {
            let to = from + (value * scale) as i32;
            let color = if stack.is_conec() {
                CONEC[part % 3]
            } else {
                OTHERS[part % 3]
            };
            let corners = [(from, top + 2), (to.max(from + 1), top + line - 6)];
            panel.draw(&Rectangle::new(corners, color.filled()))?;
            from = to;
        }
        let total = bar.iter().sum::<f64>();
        let digits = if total < 10.0 { 2 } else { 0 };
        let text = format!("{total:.digits$}");
        panel.draw(&Text::new(text, (from + 6, top + line / 2 - 10), label))?;
    }
    Ok(())
}

const WIDTH: u32 = 1100;
const HEIGHT: u32 = 460;
const LEFT: i32 = 170;
const RIGHT: i32 = 60;
const TOP: i32 = 40;
const FONT: &str = "sans-serif";
const CONEC: [RGBColor; 3] = [
    RGBColor(24, 119, 141),
    RGBColor(68, 160, 180),
    RGBColor(130, 195, 208),
];
const OTHERS: [RGBColor; 3] = [
    RGBColor(120, 120, 120),
    RGBColor(160, 160, 160),
    RGBColor(195, 195, 195),
];
