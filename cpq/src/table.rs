//! Aligned columns of text, for every command that lists something.

use crate::output::{Paint, Style};

/// Blanks between two columns.
const GAP: usize = 2;

/// One cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A cell in a style. Line feeds would break the row and become blanks.
    pub fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into().replace(['\n', '\r', '\t'], " "), style, right: false }
    }

    /// A number: aligned right.
    pub fn number(value: impl ToString) -> Self {
        Self { text: value.to_string(), style: Style::Plain, right: true }
    }

    /// The same cell in another style.
    pub fn in_style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::styled(Style::Plain, text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::styled(Style::Plain, text)
    }
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub struct Table {
    heading: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self { heading: columns.iter().map(|c| Cell::styled(Style::Dim, *c)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells stay blank.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, without a closing line feed. Nothing follows a row's last cell.
    pub fn render(&self, paint: Paint) -> String {
        let rows = || std::iter::once(&self.heading).chain(&self.rows);
        let widths: Vec<usize> = (0..self.heading.len())
            .map(|column| rows().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0))
            .collect();
        let lines: Vec<String> = rows().map(|row| line(row, &widths, paint)).collect();
        lines.join("\n")
    }
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let mut out = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        let text = paint.apply(cell.style, &cell.text);
        if cell.right {
            out.push_str(&padding);
            out.push_str(&text);
        } else {
            out.push_str(&text);
            out.push_str(&padding);
        }
        out.push_str(&" ".repeat(GAP));
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "N", "WHAT"]);
        table.row(vec!["a".into(), Cell::number(7), "first".into()]);
        table.row(vec![Cell::styled(Style::Red, "longer"), Cell::number(100), "Größe".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        assert_eq!(table().render(Paint(false)), "NAME    N    WHAT\na         7  first\nlonger  100  Größe");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let coloured = table().render(Paint(true));
        assert!(coloured.contains("\x1b[31mlonger\x1b[0m  100  Größe"), "{coloured}");
    }

    #[test]
    fn a_line_feed_in_a_cell_does_not_break_its_row() {
        let mut table = Table::new(&["A"]);
        table.row(vec!["one\ntwo".into()]);
        assert_eq!(table.render(Paint(false)).lines().count(), 2);
    }
}
