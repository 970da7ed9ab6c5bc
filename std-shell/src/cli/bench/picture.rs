//! Speeds against the length of the context, as a picture.

use super::super::output::{Failure, of_file};
use super::{Row, mean_and_deviation};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Draws two charts into an SVG file, prefill above decode: tokens a second against the positions before, a line for each
/// test and number of threads.
pub(super) fn draw(path: &Path, title: &str, rows: &[Row]) -> Result<(), Failure> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (720, 640)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let area = area.titled(title, ("sans-serif", 18)).map_err(failed)?;
        let kinds: Vec<(&str, Vec<&Row>)> = [("prefill", false), ("decode", true)]
            .map(|(name, decode)| (name, rows.iter().filter(|r| (r.n_gen > 0) == decode).collect()))
            .into_iter()
            .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
            .collect();
        for (area, (name, rows)) in area.split_evenly((kinds.len(), 1)).iter().zip(kinds) {
            chart(area, name, &rows).map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    std::fs::write(path, svg).map_err(of_file(path))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawing<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn failed(e: Drawing<'_>) -> Failure {
    Failure::because(format!("cannot draw: {e}"))
}

fn chart<'a>(area: &Area<'a>, name: &str, rows: &[&Row]) -> Result<(), Drawing<'a>> {
    let mut lines: BTreeMap<(usize, usize), Vec<(usize, f64)>> = BTreeMap::new();
    for row in rows {
        let rate = mean_and_deviation(&row.rates()).0;
        lines.entry((row.threads, row.tokens())).or_default().push((row.n_depth, rate));
    }
    let deepest = rows.iter().map(|r| r.n_depth).max().unwrap_or(0).max(1);
    let fastest = lines.values().flatten().map(|&(_, rate)| rate).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(0..deepest, 0.0..1.1 * fastest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("positions in the context before")
        .y_desc(format!("{name}, tokens/s"))
        .draw()?;
    for (i, ((threads, tokens), mut points)) in lines.into_iter().enumerate() {
        points.sort_by_key(|&(depth, _)| depth);
        let style = Palette99::pick(i).stroke_width(2);
        let threads = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
        chart
            .draw_series(LineSeries::new(points, style).point_size(3))?
            .label(format!("{tokens} tokens, {threads}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(TRANSPARENT).draw()
}
