//! Drawings of amounts. Beside each stands a table with the same figures, which is what a screen reader reads.

use chrono::NaiveDate;

/// Width of the longest bar, in units of the drawing.
const BAR_MAX: i64 = 400;
/// Height of a bar's row.
const ROW: usize = 32;
/// Where the line of a chart lies in its drawing, which is 640 wide and 220 high (`account.html`).
const LEFT: i64 = 10;
const WIDTH: i64 = 620;
const FLOOR: i64 = 190;
const HEIGHT: i64 = 165;

/// A bar for each of some amounts.
pub(super) struct BarChart {
    pub(super) bars: Vec<Bar>,
    pub(super) height: usize,
}

pub(super) struct Bar {
    pub(super) label: String,
    pub(super) length: i64,
    pub(super) top: usize,
    pub(super) text_top: usize,
}

/// A part of a whole, scaled to this size. What is below zero or beyond the whole is drawn at its end.
fn scaled(part: i64, whole: i64, size: i64) -> i64 {
    let long = i128::from(part.max(0)).saturating_mul(i128::from(size)).div_euclid(i128::from(whole.max(1)));
    i64::try_from(long).unwrap_or(size).clamp(0, size)
}

impl BarChart {
    /// Of labels and minor units.
    pub(super) fn new(amounts: &[(String, i64)]) -> Self {
        let largest = amounts.iter().map(|(_label, minor)| *minor).max().unwrap_or(0);
        let bar = |(place, (label, minor)): (usize, &(String, i64))| {
            let top = place.saturating_mul(ROW);
            Bar {
                label: label.clone(),
                length: scaled(*minor, largest, BAR_MAX),
                top,
                text_top: top.saturating_add(17),
            }
        };
        Self { bars: amounts.iter().enumerate().map(bar).collect(), height: amounts.len().saturating_mul(ROW) }
    }
}

/// A line through the amounts of days.
pub(super) struct LineChart {
    /// As `points` of a `polyline`.
    pub(super) points: String,
    /// The largest amount, in minor units: the top of the drawing.
    pub(super) largest: i64,
}

impl LineChart {
    /// Of days, oldest first, and minor units; `None` where there are fewer than two.
    pub(super) fn new(days: &[(NaiveDate, i64)]) -> Option<Self> {
        let ((first, _), (last, _)) = (days.first()?, days.last()?);
        let whole = (*last - *first).num_days();
        if whole < 1 {
            return None;
        }
        let largest = days.iter().map(|(_day, minor)| *minor).max().unwrap_or(0).max(0);
        let point = |(day, minor): &(NaiveDate, i64)| {
            let right = LEFT.saturating_add(scaled((*day - *first).num_days(), whole, WIDTH));
            format!("{right},{}", FLOOR.saturating_sub(scaled(*minor, largest, HEIGHT)))
        };
        Some(Self { points: days.iter().map(point).collect::<Vec<_>>().join(" "), largest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 10, number).unwrap()
    }

    #[test]
    fn the_longest_bar_is_the_largest_amount_and_none_is_shorter_than_nothing() {
        let amounts = [("a", 300), ("b", 600), ("c", -50), ("d", 0)].map(|(label, minor)| (label.to_owned(), minor));
        let chart = BarChart::new(&amounts);
        assert_eq!(chart.bars.iter().map(|bar| bar.length).collect::<Vec<_>>(), [200, 400, 0, 0]);
        assert_eq!((chart.height, chart.bars[3].top), (128, 96));
        assert_eq!(BarChart::new(&[("all".to_owned(), i64::MAX)]).bars[0].length, 400);
    }

    #[test]
    fn a_line_goes_through_each_day_at_its_place_and_a_missing_day_keeps_its_room() {
        let chart = LineChart::new(&[(day(1), 1_000), (day(2), 500), (day(5), 0)]).unwrap();
        assert_eq!((chart.points.as_str(), chart.largest), ("10,25 165,108 630,190", 1_000));
        let overdrawn = LineChart::new(&[(day(1), -5), (day(2), -9)]).unwrap();
        assert_eq!(overdrawn.points, "10,190 630,190");
        assert!(LineChart::new(&[(day(1), 1)]).is_none() && LineChart::new(&[]).is_none());
    }
}
