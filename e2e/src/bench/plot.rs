//! The report's pictures: each ratio's turns, how far all ratios are from what is wanted of them, and curves.

use super::{Curve, Ratio, Target};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

const RATIO: (u32, u32) = (900, 300);
const CURVE: (u32, u32) = (640, 300);
const OVERVIEW_HEIGHT: u32 = 340;
/// Width of the overview for each ratio, and beside them.
const OVERVIEW_COLUMN: u32 = 60;
const OVERVIEW_MARGIN: u32 = 120;
/// The overview's upper end: what is far better than wanted needs no room.
const MOST: f64 = 4.0;
/// Room above the highest value.
const HEADROOM: f64 = 1.1;
const TITLE: (&str, u32) = ("sans-serif", 16);

/// What plotters says went wrong.
type Failure = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws one ratio as SVG: both sides turn by turn, and beside them the ratio with what is wanted of it.
pub fn ratio(ratio: &Ratio, path: &Path) -> Result<(), String> {
    on(path, RATIO, |root| {
        let (left, right) = root.split_horizontally(RATIO.0 / 2);
        let title = format!("{} = {:.2} ({})", ratio.id, ratio.ratio, ratio.target);
        let sides = [
            ("product", BLUE, ratio.runs.iter().map(|turn| turn.numerator).collect()),
            ("floor", RED, ratio.runs.iter().map(|turn| turn.denominator).collect()),
        ];
        turns(&left, &title, ratio.unit, &sides, None)?;
        let ratios = [("ratio", BLUE, ratio.runs.iter().map(|turn| turn.ratio()).collect())];
        let (Target::AtLeast(bound) | Target::AtMost(bound)) = ratio.target;
        turns(&right, "product ÷ floor", "", &ratios, Some(("wanted", bound)))
    })
}

/// Draws how far all ratios are from what is wanted: the median as a point, the turns' spread as a bar; what
/// reaches the line is met.
pub fn overview(ratios: &[Ratio], path: &Path) -> Result<(), String> {
    let size = (OVERVIEW_MARGIN + OVERVIEW_COLUMN * ratios.len() as u32, OVERVIEW_HEIGHT);
    on(path, size, |root| {
        let reached: Vec<[f64; 3]> = ratios
            .iter()
            .map(|ratio| [ratio.spread[0], ratio.ratio, ratio.spread[1]].map(|value| reached(ratio.target, value)))
            .collect();
        let top = reached.iter().flatten().copied().fold(1.0, f64::max) * HEADROOM;
        let mut chart = ChartBuilder::on(root)
            .caption("how much is reached of what is wanted (1: as wanted)", TITLE)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(40)
            .build_cartesian_2d((0..ratios.len().saturating_sub(1)).into_segmented(), 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(ratios.len())
            .x_label_formatter(&|at| name(at, ratios))
            .draw()?;
        let ends = [SegmentValue::Exact(0), SegmentValue::Last];
        chart.draw_series([PathElement::new(ends.map(|end| (end, 1.0)).to_vec(), BLACK.stroke_width(2))])?;
        for (n, ([low, middle, high], ratio)) in reached.iter().zip(ratios).enumerate() {
            let colour = if ratio.target.is_met(ratio.ratio) { GREEN } else { RED };
            let at = |value: f64| (SegmentValue::CenterOf(n), value);
            chart.draw_series([PathElement::new(vec![at(*low), at(*high)], colour.stroke_width(3))])?;
            chart.draw_series([Circle::new(at(*middle), 5, colour.filled())])?;
        }
        Ok(())
    })
}

/// Draws a curve as SVG; both axes begin at nothing.
pub fn curve(curve: &Curve, path: &Path) -> Result<(), String> {
    on(path, CURVE, |root| {
        let end = |of: usize| curve.points.iter().map(|point| point[of]).fold(0.0, f64::max) * HEADROOM;
        let mut chart = ChartBuilder::on(root)
            .caption(curve.what, TITLE)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..end(0), 0.0..end(1))?;
        chart.configure_mesh().x_desc(curve.x).y_desc(curve.y).draw()?;
        let points = curve.points.iter().map(|[x, y]| (*x, *y));
        chart.draw_series(LineSeries::new(points, BLUE).point_size(3))?;
        Ok(())
    })
}

/// How much of what is wanted is reached; 1 and more is met.
fn reached(target: Target, value: f64) -> f64 {
    let share = match target {
        Target::AtLeast(bound) => value / bound,
        Target::AtMost(bound) => bound / value,
    };
    share.min(MOST)
}

fn name(at: &SegmentValue<usize>, ratios: &[Ratio]) -> String {
    match at {
        SegmentValue::CenterOf(n) => ratios.get(*n).map(|ratio| ratio.id.to_owned()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Lines of values, turn by turn, with a level that they are to reach.
fn turns(
    area: &Area<'_>,
    title: &str,
    unit: &str,
    lines: &[(&str, RGBColor, Vec<f64>)],
    level: Option<(&str, f64)>,
) -> Result<(), Failure> {
    let count = lines.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
    let highest =
        lines.iter().flat_map(|(.., values)| values).copied().chain(level.map(|(_, at)| at)).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, TITLE)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d((1..count).into_segmented(), 0.0..highest * HEADROOM)?;
    let number = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(n) => n.to_string(),
        _ => String::new(),
    };
    chart.configure_mesh().disable_x_mesh().x_desc("turn").y_desc(unit).x_label_formatter(&number).draw()?;
    let sample = |colour: RGBColor| move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour);
    for (name, colour, values) in lines {
        let points = values.iter().enumerate().map(|(n, value)| (SegmentValue::CenterOf(n + 1), *value));
        chart.draw_series(LineSeries::new(points, colour).point_size(4))?.label(*name).legend(sample(*colour));
    }
    if let Some((name, at)) = level {
        let ends = [SegmentValue::Exact(1), SegmentValue::Last];
        let line = PathElement::new(ends.map(|end| (end, at)).to_vec(), BLACK.stroke_width(2));
        chart.draw_series([line])?.label(name).legend(sample(BLACK));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    Ok(())
}

/// A white sheet to draw on.
fn on(path: &Path, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<(), Failure>) -> Result<(), String> {
    let root = SVGBackend::new(path, size).into_drawing_area();
    let drawn = || -> Result<(), Failure> {
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
        Ok(())
    };
    drawn().map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Target::AtLeast(0.5), 0.25, 0.5)]
    #[case(Target::AtLeast(0.5), 0.5, 1.0)]
    #[case(Target::AtMost(2.0), 4.0, 0.5)]
    #[case(Target::AtMost(2.0), 1.0, 2.0)]
    #[case(Target::AtMost(2.0), 0.01, MOST)]
    fn one_is_reached_exactly_where_the_target_is_met(#[case] target: Target, #[case] value: f64, #[case] share: f64) {
        assert_eq!(reached(target, value), share);
        assert_eq!(target.is_met(value), share >= 1.0);
    }
}
