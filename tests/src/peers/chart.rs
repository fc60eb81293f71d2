//! A comparison as a picture: two rows of bars, in SVG.

use std::fmt::Write as _;

use super::compare::{Comparison, Line, Scenario};
use super::numbers::{Spread, short};

const NAME_WIDTH: f64 = 250.0;
const BAR_WIDTH: f64 = 260.0;
const NUMBER_WIDTH: f64 = 70.0;
const ROW: f64 = 26.0;
const TOP: f64 = 58.0;
const PANEL: f64 = BAR_WIDTH + NUMBER_WIDTH;

/// Draws requests per second and processor time per request, medians with their spreads.
#[must_use]
pub fn svg(comparison: &Comparison) -> String {
    let mut lines: Vec<&Line> = comparison.lines.iter().collect();
    let rate = |line: &Line| line.outcome(Scenario::Full).map(|full| full.requests_per_second);
    lines.sort_by(|one, other| {
        let rates = [one, other].map(|line| rate(line).map_or(0.0, |rate| rate.median));
        rates[1].total_cmp(&rates[0])
    });
    let width = NAME_WIDTH + 2.0 * PANEL + 20.0;
    let height = TOP + ROW * lines.len() as f64 + 34.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut svg,
        10.0,
        22.0,
        "start",
        "bold",
        &format!(
            "{} bytes of JSON, 64 connections, {} rounds, {} cores shared with the load generator",
            comparison.body_bytes, comparison.rounds, comparison.machine.cores
        ),
    );
    panel(&mut svg, 0.0, "requests per second", &lines, rate);
    panel(&mut svg, PANEL, "processor time per request, µs (Redis's paler)", &lines, |line| {
        line.outcome(Scenario::Full).map(|full| full.cpu_us)
    });
    redis(&mut svg, &lines);
    for (row, line) in lines.iter().enumerate() {
        let weight = if line.name.starts_with("Corral") { "bold" } else { "normal" };
        text(&mut svg, NAME_WIDTH - 8.0, baseline(row), "end", weight, &line.name);
    }
    let foot = format!(
        "Medians; the thin lines are the least and the most. {}",
        comparison.machine.processor
    );
    text(&mut svg, 10.0, height - 10.0, "start", "normal", &foot);
    svg.push_str("</svg>\n");
    svg
}

fn baseline(row: usize) -> f64 {
    TOP + ROW * row as f64 + 17.0
}

/// The longest bar's value.
fn scale(lines: &[&Line], of: impl Fn(&Line) -> Option<Spread>) -> f64 {
    let most = lines.iter().filter_map(|line| of(line)).map(|spread| spread.most);
    most.fold(f64::MIN_POSITIVE, f64::max)
}

fn panel(
    svg: &mut String,
    left: f64,
    title: &str,
    lines: &[&Line],
    of: impl Fn(&Line) -> Option<Spread>,
) {
    let (left, scale) = (NAME_WIDTH + left, scale(lines, &of));
    text(svg, left, 46.0, "start", "normal", title);
    for (row, line) in lines.iter().enumerate() {
        let Some(spread) = of(line) else { continue };
        let fill = if line.name.starts_with("Corral") { "#c2571a" } else { "#6b7f95" };
        let at = |value: f64| left + BAR_WIDTH * value / scale;
        let (top, middle) = (baseline(row) - 14.0, baseline(row) - 5.0);
        rect(svg, left, top, at(spread.median) - left, fill);
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#222222\"/>",
            at(spread.least),
            at(spread.most)
        );
        text(svg, at(spread.most) + 6.0, baseline(row), "start", "normal", &short(spread.median));
    }
}

/// Redis's time for a request stands above the server's own time.
fn redis(svg: &mut String, lines: &[&Line]) {
    let left = NAME_WIDTH + PANEL;
    let scale = scale(lines, |line| line.outcome(Scenario::Full).map(|full| full.cpu_us));
    for (row, line) in lines.iter().enumerate() {
        let Some(full) = line.outcome(Scenario::Full).filter(|_| line.asks_redis) else { continue };
        let width = BAR_WIDTH * full.redis_cpu_us.median / scale;
        let top = baseline(row) + 5.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"3\" fill=\"#c9b8ab\"/>"
        );
    }
}

fn rect(svg: &mut String, left: f64, top: f64, width: f64, fill: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"18\" fill=\"{fill}\"/>"
    );
}

fn text(svg: &mut String, left: f64, base: f64, anchor: &str, weight: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{base:.1}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\">{text}</text>"
    );
}
