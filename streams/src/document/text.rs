//! The embedded typeface: shaping, measuring and line breaking. What is measured here is what is drawn, glyph for
//! glyph. Leaves where a line stands to the page flow.

use std::collections::BTreeSet;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::UnicodeBuffer;

use super::render::RenderError;

/// Liberation Sans 2 (SIL OFL 1.1, see `assets/fonts/LICENSE-liberation-fonts.txt`); krilla embeds the subset in use.
static REGULAR: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Regular.ttf");
/// See `REGULAR`.
static BOLD: &[u8] = include_bytes!("../../assets/fonts/LiberationSans-Bold.ttf");

/// Stands for a control character, which has no shape of its own and must not vanish or steer the page.
const REPLACEMENT: char = '\u{FFFD}';

/// Which cut of the typeface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// A line of text as glyphs. A character that the typeface lacks is its box glyph: visible, and still extractable.
#[derive(Debug, Clone)]
pub(super) struct Shaped {
    pub text: String,
    pub weight: Weight,
    pub glyphs: Vec<KrillaGlyph>,
    em_width: f32,
}

impl Shaped {
    /// Width at a font size.
    pub fn width(&self, size: f32) -> f32 {
        self.em_width * size
    }
}

struct Face {
    font: Font,
    shaper: rustybuzz::Face<'static>,
}

impl Face {
    fn load(data: &'static [u8]) -> Result<Self, RenderError> {
        let font = Font::new(data.into(), 0).ok_or(RenderError::Typeface)?;
        let shaper = rustybuzz::Face::from_slice(data, 0).ok_or(RenderError::Typeface)?;
        Ok(Self { font, shaper })
    }
}

/// Both cuts, ready to shape and to embed.
pub(super) struct Fonts {
    regular: Face,
    bold: Face,
}

impl Fonts {
    pub fn load() -> Result<Self, RenderError> {
        Ok(Self { regular: Face::load(REGULAR)?, bold: Face::load(BOLD)? })
    }

    fn face(&self, weight: Weight) -> &Face {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    /// The font to embed.
    pub fn font(&self, weight: Weight) -> Font {
        self.face(weight).font.clone()
    }

    /// Shapes one line; line breaks and tabs in it count as spaces.
    pub fn shape(&self, weight: Weight, raw: &str) -> Shaped {
        let text: String = raw.chars().map(printable).collect();
        let face = self.face(weight);
        let upem = face.font.units_per_em();
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(&text);
        buffer.guess_segment_properties();
        let output = rustybuzz::shape(&face.shaper, &[], buffer);

        // A cluster ends where the next one of the text begins, in whichever direction the glyphs run.
        let starts: BTreeSet<usize> = output.glyph_infos().iter().map(|info| info.cluster as usize).collect();
        let glyphs: Vec<KrillaGlyph> = output
            .glyph_infos()
            .iter()
            .zip(output.glyph_positions())
            .map(|(info, position)| {
                let start = info.cluster as usize;
                let end = starts.range(start + 1..).next().copied().unwrap_or(text.len());
                KrillaGlyph::new(
                    GlyphId::new(info.glyph_id),
                    position.x_advance as f32 / upem,
                    position.x_offset as f32 / upem,
                    position.y_offset as f32 / upem,
                    position.y_advance as f32 / upem,
                    start..end,
                    None,
                )
            })
            .collect();
        let em_width = glyphs.iter().map(|glyph| glyph.x_advance).sum();
        Shaped { text, weight, glyphs, em_width }
    }

    /// Breaks text into lines no wider than `width`: at spaces, and inside a word only if the word alone is wider.
    pub fn wrap(&self, weight: Weight, size: f32, text: &str, width: f32) -> Vec<Shaped> {
        let space = self.shape(weight, " ").width(size);
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        let mut used = 0.0;
        for word in text.split_whitespace() {
            for piece in self.pieces(weight, size, word, width) {
                let piece_width = self.shape(weight, &piece).width(size);
                if !line.is_empty() && used + space + piece_width > width {
                    lines.push(std::mem::take(&mut line));
                }
                if line.is_empty() {
                    used = piece_width;
                } else {
                    line.push(' ');
                    used += space + piece_width;
                }
                line.push_str(&piece);
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines.iter().map(|line| self.shape(weight, line)).collect()
    }

    /// The word itself, or, if it is wider than a line, its parts that fill a line each.
    fn pieces(&self, weight: Weight, size: f32, word: &str, width: f32) -> Vec<String> {
        if self.shape(weight, word).width(size) <= width {
            return vec![word.to_owned()];
        }
        let mut pieces = vec![String::new()];
        let mut used = 0.0;
        for letter in word.chars() {
            let letter_width = self.shape(weight, letter.encode_utf8(&mut [0; 4])).width(size);
            if used > 0.0 && used + letter_width > width {
                pieces.push(String::new());
                used = 0.0;
            }
            used += letter_width;
            if let Some(piece) = pieces.last_mut() {
                piece.push(letter);
            }
        }
        pieces
    }
}

/// A space for white space; the replacement character for controls, those that turn the writing direction included:
/// they could make an amount read differently from what was agreed.
fn printable(letter: char) -> char {
    match letter {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' => REPLACEMENT,
        control if control.is_control() => REPLACEMENT,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;

    use super::*;

    const WIDTH: f32 = 100.0;
    const SIZE: f32 = 10.0;

    #[rstest]
    #[case::words("Fiber access with a managed router and gold service level for every site")]
    #[case::one_long_word("Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft")]
    #[case::no_spaces_at_all("光ファイバー接続サービスと冗長ルーター光ファイバー接続サービス")]
    fn no_wrapped_line_is_wider_than_its_column_and_nothing_is_lost(#[case] text: &str) {
        let fonts = Fonts::load().unwrap();
        let lines = fonts.wrap(Weight::Regular, SIZE, text, WIDTH);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| line.width(SIZE) <= WIDTH + 0.5));
        let without_spaces = |text: &str| text.split_whitespace().collect::<String>();
        let joined: String = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(without_spaces(&joined), without_spaces(text));
    }

    #[rstest]
    #[case::kanji("日本")]
    #[case::emoji("🚀")]
    #[case::control("\u{7}")]
    #[case::direction_override("\u{202E}")]
    fn what_the_typeface_lacks_is_shown_as_a_replacement_with_a_width(#[case] text: &str) {
        let shaped = Fonts::load().unwrap().shape(Weight::Bold, text);
        assert_eq!(shaped.glyphs.len(), text.chars().count());
        assert!(shaped.glyphs.iter().all(|glyph| glyph.x_advance > 0.0));
    }

    #[rstest]
    #[case("Müller Žižek Łódź")]
    #[case("Ελλάδα")]
    #[case("Київ")]
    fn european_names_have_all_their_glyphs(#[case] text: &str) {
        let shaped = Fonts::load().unwrap().shape(Weight::Regular, text);
        assert!(shaped.glyphs.iter().all(|glyph| glyph.glyph_id.to_u32() != 0));
    }

    #[test]
    fn right_to_left_text_keeps_every_character_in_some_cluster() {
        let shaped = Fonts::load().unwrap().shape(Weight::Regular, "שלום");
        let covered: usize = shaped.glyphs.iter().map(|glyph| glyph.text_range.len()).sum();
        assert_eq!(covered, shaped.text.len());
    }
}
