//! Tables that wrap in their cells and go on over pages under a repeated head.
//! Leaves what stands in the cells to the sections.

use std::collections::VecDeque;

use super::flow::{Flow, Style};
use super::text::{Shaped, Weight};

/// Space above and below the text of a row.
const ROW_PADDING: f32 = 4.0;
/// Space left and right of the text of a cell.
const CELL_PADDING: f32 = 5.0;
/// Lines of a row taller than a page that must at least stand under the head.
const FEW_LINES: f32 = 3.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

pub(super) struct Column {
    pub title: String,
    pub width: f32,
    pub align: Align,
}

/// Paragraphs under each other, indented together.
#[derive(Default)]
pub(super) struct Cell {
    pub indent: f32,
    pub paragraphs: Vec<(Style, String)>,
}

impl Cell {
    pub fn of(style: Style, text: impl Into<String>) -> Self {
        Self { indent: 0.0, paragraphs: vec![(style, text.into())] }
    }
}

/// The lines of one cell that are not drawn yet.
type Pending = VecDeque<(Style, Shaped)>;

pub(super) struct Table<'c> {
    pub columns: &'c [Column],
}

impl Table<'_> {
    /// The height that must stay together at the start: the head and its first row, or, of a row taller than a page,
    /// its first lines. A heading asks for it, so that it is never alone at the foot of a page.
    pub fn opening_height(&self, flow: &Flow<'_>, rows: &[Vec<Cell>]) -> f32 {
        let first = rows.first().map_or(0.0, |row| self.height(flow, &self.lay_out(flow, row)));
        let few_lines = 2.0 * ROW_PADDING + FEW_LINES * flow.line_height(flow.body());
        let opening = if self.fits_a_page(flow, first) { first } else { few_lines };
        self.head_height(flow) + opening
    }

    /// Draws head and rows from the flow's position on.
    pub fn draw(&self, flow: &mut Flow<'_>, rows: Vec<Vec<Cell>>) {
        self.draw_head(flow);
        for row in rows {
            self.draw_row(flow, &row);
        }
    }

    fn fits_a_page(&self, flow: &Flow<'_>, row_height: f32) -> bool {
        row_height <= flow.full_room() - self.head_height(flow)
    }

    fn head_style(&self, flow: &Flow<'_>) -> Style {
        flow.style(flow.template.small_size, Weight::Bold, flow.template.accent)
    }

    fn head_height(&self, flow: &Flow<'_>) -> f32 {
        flow.line_height(self.head_style(flow)) + 2.0 * ROW_PADDING
    }

    fn draw_head(&self, flow: &mut Flow<'_>) {
        let (style, height) = (self.head_style(flow), self.head_height(flow));
        let (left, y, tint) = (flow.template.margin, flow.y, flow.template.tint);
        flow.area(left, y, flow.template.content_width(), height, tint);
        let mut x = left;
        for column in self.columns {
            match column.align {
                Align::Left => flow.text(x + CELL_PADDING, y + ROW_PADDING, style, &column.title),
                Align::Right => flow.text_to(x + column.width - CELL_PADDING, y + ROW_PADDING, style, &column.title),
            }
            x += column.width;
        }
        flow.y += height;
    }

    fn lay_out(&self, flow: &Flow<'_>, row: &[Cell]) -> Vec<Pending> {
        self.columns
            .iter()
            .zip(row)
            .map(|(column, cell)| {
                let width = column.width - 2.0 * CELL_PADDING - cell.indent;
                let wrapped = |(style, text): &(Style, String)| {
                    let style = *style;
                    flow.wrap(style, text, width).into_iter().map(move |line| (style, line)).collect::<Vec<_>>()
                };
                cell.paragraphs.iter().flat_map(wrapped).collect()
            })
            .collect()
    }

    fn height(&self, flow: &Flow<'_>, cells: &[Pending]) -> f32 {
        let tallest =
            cells.iter().map(|lines| lines.iter().map(|(style, _)| flow.line_height(*style)).sum()).fold(0.0, f32::max);
        tallest + 2.0 * ROW_PADDING
    }

    /// A row stays whole if a page can hold it; only a taller one is cut between its lines.
    fn draw_row(&self, flow: &mut Flow<'_>, row: &[Cell]) {
        let mut cells = self.lay_out(flow, row);
        let height = self.height(flow, &cells);
        if self.fits_a_page(flow, height) && flow.keep_together(height) {
            self.draw_head(flow);
        }
        loop {
            self.draw_part(flow, row, &mut cells);
            if cells.iter().all(VecDeque::is_empty) {
                break;
            }
            flow.new_page();
            self.draw_head(flow);
        }
    }

    /// Draws as many lines of each cell as this page holds.
    fn draw_part(&self, flow: &mut Flow<'_>, row: &[Cell], cells: &mut [Pending]) {
        let limit = flow.template.bottom - ROW_PADDING;
        let top = flow.y + ROW_PADDING;
        let mut lowest = top;
        let mut x = flow.template.margin;
        for ((column, cell), lines) in self.columns.iter().zip(row).zip(cells) {
            let mut y = top;
            while let Some((style, line)) = lines.pop_front() {
                let height = flow.line_height(style);
                if y + height > limit {
                    lines.push_front((style, line));
                    break;
                }
                let start = match column.align {
                    Align::Left => x + CELL_PADDING + cell.indent,
                    Align::Right => x + column.width - CELL_PADDING - line.width(style.size),
                };
                flow.put(start, y, style, line);
                y += height;
            }
            lowest = lowest.max(y);
            x += column.width;
        }
        flow.y = lowest + ROW_PADDING;
        flow.hairline(flow.template.margin, flow.y, flow.template.content_width());
    }
}
