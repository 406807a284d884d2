//! The page flow: where the next thing stands, when a page is full, and what repeats on every page.
//! Leaves what is said to the sections and the drawing itself to `paint`.

use super::template::{Rgb, Template};
use super::text::{Fonts, Shaped, Weight};

/// Distance of the baseline from the top of a text line, as a part of the font size.
const ASCENT: f32 = 0.95;
/// Thickness of a hairline.
const HAIRLINE: f32 = 0.6;
/// Font size of the footer's hash, small enough for one line.
const FOOTER_HASH_SIZE: f32 = 6.5;
/// Top of the running head on following pages.
const RUNNING_HEAD_Y: f32 = 26.0;

/// A mark on a page, in points from the top left.
pub(super) enum Mark {
    Text { x: f32, baseline: f32, size: f32, color: Rgb, line: Shaped },
    Area { x: f32, y: f32, width: f32, height: f32, color: Rgb },
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub size: f32,
    pub weight: Weight,
    pub color: Rgb,
}

/// What every page says about the document.
pub(super) struct Running {
    pub head: String,
    pub foot: String,
    pub input_hash: String,
}

/// The pages so far and the position on the last one.
pub(super) struct Flow<'a> {
    pub fonts: &'a Fonts,
    pub template: &'static Template,
    pub y: f32,
    full: Vec<Vec<Mark>>,
    current: Vec<Mark>,
}

impl<'a> Flow<'a> {
    pub fn new(fonts: &'a Fonts, template: &'static Template) -> Self {
        Self { fonts, template, y: 0.0, full: Vec::new(), current: Vec::new() }
    }

    /// What is left of this page.
    pub fn room(&self) -> f32 {
        self.template.bottom - self.y
    }

    /// What a fresh page has.
    pub fn full_room(&self) -> f32 {
        self.template.bottom - self.template.top
    }

    pub fn new_page(&mut self) {
        self.full.push(std::mem::take(&mut self.current));
        self.y = self.template.top;
    }

    /// Goes to a new page unless `height` still fits; true if it did.
    pub fn keep_together(&mut self, height: f32) -> bool {
        let breaks = height > self.room();
        if breaks {
            self.new_page();
        }
        breaks
    }

    pub fn style(&self, size: f32, weight: Weight, color: Rgb) -> Style {
        Style { size, weight, color }
    }

    /// Ordinary text.
    pub fn body(&self) -> Style {
        self.style(self.template.body_size, Weight::Regular, self.template.ink)
    }

    /// Ordinary text, bold.
    pub fn strong(&self) -> Style {
        self.style(self.template.body_size, Weight::Bold, self.template.ink)
    }

    /// Labels and remarks.
    pub fn label(&self) -> Style {
        self.style(self.template.small_size, Weight::Regular, self.template.muted)
    }

    pub fn line_height(&self, style: Style) -> f32 {
        self.template.line_height(style.size)
    }

    /// Puts a shaped line with its top at `y`.
    pub fn put(&mut self, x: f32, y: f32, style: Style, line: Shaped) {
        let baseline = y + style.size * ASCENT;
        self.current.push(Mark::Text { x, baseline, size: style.size, color: style.color, line });
    }

    /// One line of text from `x`.
    pub fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        let line = self.fonts.shape(style.weight, text);
        self.put(x, y, style, line);
    }

    /// One line of text that ends at `right`.
    pub fn text_to(&mut self, right: f32, y: f32, style: Style, text: &str) {
        let line = self.fonts.shape(style.weight, text);
        self.put(right - line.width(style.size), y, style, line);
    }

    pub fn wrap(&self, style: Style, text: &str, width: f32) -> Vec<Shaped> {
        self.fonts.wrap(style.weight, style.size, text, width)
    }

    /// Lines under each other from `y`; returns where they end.
    pub fn put_lines(&mut self, x: f32, mut y: f32, style: Style, lines: Vec<Shaped>) -> f32 {
        for line in lines {
            self.put(x, y, style, line);
            y += self.line_height(style);
        }
        y
    }

    pub fn area(&mut self, x: f32, y: f32, width: f32, height: f32, color: Rgb) {
        self.current.push(Mark::Area { x, y, width, height, color });
    }

    pub fn hairline(&mut self, x: f32, y: f32, width: f32) {
        self.area(x, y, width, HAIRLINE, self.template.hairline);
    }

    /// Ends the document: now that the number of pages is known, every page gets its head and foot.
    pub fn finish(mut self, running: &Running) -> Vec<Vec<Mark>> {
        self.full.push(std::mem::take(&mut self.current));
        let pages = std::mem::take(&mut self.full);
        let count = pages.len();
        pages
            .into_iter()
            .enumerate()
            .map(|(index, marks)| {
                self.current = marks;
                self.put_running(running, index, count);
                std::mem::take(&mut self.current)
            })
            .collect()
    }

    fn put_running(&mut self, running: &Running, index: usize, count: usize) {
        let (template, label) = (self.template, self.label());
        let right = template.page_width - template.margin;
        if index > 0 {
            // One line is all there is room for; the names stand in full on the first page.
            if let Some(line) = self.wrap(label, &running.head, template.content_width()).into_iter().next() {
                self.put(template.margin, RUNNING_HEAD_Y, label, line);
            }
        }
        let y = template.bottom + template.line_height(label.size);
        self.hairline(template.margin, y - label.size / 2.0, template.content_width());
        self.text(template.margin, y, label, &running.foot);
        self.text_to(right, y, label, &format!("Page {} of {count}", index + 1));
        let hash_style = Style { size: FOOTER_HASH_SIZE, ..label };
        let hash = format!("Input hash {}", running.input_hash);
        self.text(template.margin, y + template.line_height(label.size), hash_style, &hash);
    }
}
