//! A ratio's turns as a picture: product and floor side by side, turn by turn.

use super::Ratio;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (640, 300);

/// Draws one ratio as SVG.
pub fn draw(ratio: &Ratio, path: &Path) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|e| text(&e))?;
    let sides = [("product", BLUE), ("floor", RED)];
    let values =
        |side: usize| ratio.runs.iter().map(move |turn| if side == 0 { turn.numerator } else { turn.denominator });
    let top = (0..sides.len()).flat_map(values).fold(0.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{} = {:.2} ({})", ratio.id, ratio.ratio, ratio.target), ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.5..ratio.runs.len() as f64 + 0.5, 0.0..top)
        .map_err(|e| text(&e))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("turn")
        .y_desc(ratio.unit)
        .x_labels(ratio.runs.len())
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()
        .map_err(|e| text(&e))?;
    for (side, (name, colour)) in sides.into_iter().enumerate() {
        let points: Vec<(f64, f64)> = values(side).enumerate().map(|(n, value)| (n as f64 + 1.0, value)).collect();
        chart
            .draw_series(LineSeries::new(points, &colour).point_size(4))
            .map_err(|e| text(&e))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw().map_err(|e| text(&e))?;
    root.present().map_err(|e| text(&e))
}
