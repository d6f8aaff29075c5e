//! The latencies of the open loop as a picture: how many requests were answered within which time, the rarest on the right.

use std::{collections::BTreeSet, path::Path};

use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoLogRange, LineSeries, Palette, Palette99, PathElement, SVGBackend,
    WHITE,
};

use crate::{
    database::Backend,
    failure::{Doing, Failure},
    figures::{Loaded, Measured},
};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 420;
/// The size of what stands along the axes.
const LABEL: u32 = 15;
/// The smallest latency of the axis, in milliseconds: what is below is drawn there.
const LEAST: f64 = 0.1;
/// The last nine of the axis: 99.99 %.
const NINES: f64 = 4.0;

/// Draws a chart for each database that has curves, one below the other. Whether there was one to draw.
pub(crate) fn draw(file: &Path, measured: &[Measured]) -> Result<bool, Failure> {
    let curves: Vec<&Measured> = measured.iter().filter(|one| matches!(one.series.load, Loaded::Open { .. })).collect();
    let databases: BTreeSet<Backend> = curves.iter().map(|one| one.series.database).collect();
    if databases.is_empty() {
        return Ok(false);
    }
    let charts = u32::try_from(databases.len()).doing("the picture")?;
    let picture = SVGBackend::new(file, (WIDTH, HEIGHT * charts)).into_drawing_area();
    picture.fill(&WHITE).doing("the picture")?;
    for (area, database) in picture.split_evenly((databases.len(), 1)).iter().zip(databases) {
        let together: Vec<&Measured> = curves.iter().copied().filter(|one| one.series.database == database).collect();
        let most = together.iter().flat_map(|one| &one.curve).map(|(_share, took)| *took).fold(1.0, f64::max);
        let load = together.first().map(|one| one.series.load.to_string()).unwrap_or_default();
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{}, {load}: added milliseconds", database.name()), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..NINES, (LEAST..most * 1.2).log_scale())
            .doing("the picture")?;
        let mut mesh = chart.configure_mesh();
        mesh.label_style(("sans-serif", LABEL))
            .x_labels(5)
            .x_label_formatter(&|nines| percent(*nines))
            .x_desc("share of the requests")
            .y_desc("ms");
        mesh.draw().doing("the picture")?;
        for (at, one) in together.iter().enumerate() {
            let color = Palette99::pick(at).to_rgba();
            let points = one.curve.iter().map(|(share, took)| (nines(*share), took.max(LEAST)));
            let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2))).doing("the picture")?;
            line.label(one.series.subject.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .label_font(("sans-serif", LABEL))
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()
            .doing("the picture")?;
    }
    picture.present().doing("the picture")?;
    Ok(true)
}

/// 0.99 is two nines.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn percent(nines: f64) -> String {
    let share = 100.0 - 100.0 * 10_f64.powf(-nines);
    // As many places as it takes to tell it from 100.
    let places = if nines > 3.5 {
        2
    } else if nines > 2.5 {
        1
    } else {
        0
    };
    format!("{share:.places$} %")
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;
    use crate::figures::{Figures, Series};

    #[test]
    fn each_subject_has_its_line_and_each_database_its_chart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latencies.svg");
        let mut latencies = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        (1..1000_u64).for_each(|took| latencies.record(50_000 + took).unwrap());
        let all: Vec<Measured> = [Backend::Sqlite, Backend::Postgres]
            .into_iter()
            .flat_map(|database| ["noshi", "bare path"].map(|subject| (database, subject)))
            .map(|(database, subject)| {
                let load = Loaded::Open { rate: 500, gateway_ms: 50 };
                let mut one = Measured::new(Series { database, load, subject: subject.to_owned() });
                one.add(Figures::new(), Some(&latencies), 50_000);
                one
            })
            .collect();
        assert!(draw(&file, &all).unwrap());
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["SQLite, 500/s", "PostgreSQL, 500/s", "noshi", "bare path", "99.99 %"] {
            assert!(text.contains(word), "{word} is not in the picture");
        }
        assert!(!draw(&file, &[]).unwrap(), "without an open loop there is no picture");
    }

    #[test]
    fn an_axis_of_nines_reads_as_percent() {
        let labels: Vec<String> = [0.0, 1.0, 2.0, 3.0, 4.0].map(percent).to_vec();
        assert_eq!(labels, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
