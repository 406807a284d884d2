//! From marks on pages to PDF bytes with krilla. Holds what makes the bytes reproducible: no dates, and a document
//! id that is derived from the input.

use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::surface::Surface;

use super::flow::Mark;
use super::render::RenderError;
use super::template::{Rgb, Template};
use super::text::Fonts;

/// The document's properties beside its pages.
pub(super) struct Properties {
    pub title: String,
    pub author: String,
    pub input_hash: String,
}

pub(super) fn paint(
    template: &Template,
    fonts: &Fonts,
    pages: Vec<Vec<Mark>>,
    properties: Properties,
) -> Result<Vec<u8>, RenderError> {
    let mut document = Document::new();
    for marks in pages {
        let settings = PageSettings::from_wh(template.page_width, template.page_height).ok_or(RenderError::Geometry)?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        for mark in marks {
            draw(&mut surface, fonts, mark)?;
        }
        surface.finish();
        page.finish();
    }
    document.set_metadata(
        Metadata::new()
            .title(properties.title)
            .authors(vec![properties.author])
            .keywords(vec![properties.input_hash.clone()])
            .language("en".to_owned())
            .creator("CPQ Streams".to_owned())
            .document_id(properties.input_hash),
    );
    document.finish().map_err(|error| RenderError::Pdf(format!("{error:?}")))
}

fn draw(surface: &mut Surface<'_>, fonts: &Fonts, mark: Mark) -> Result<(), RenderError> {
    match mark {
        Mark::Text { x, baseline, size, color, line } => {
            surface.set_fill(Some(fill(color)));
            let start = Point::from_xy(x, baseline);
            surface.draw_glyphs(start, &line.glyphs, fonts.font(line.weight), &line.text, size, false);
        }
        Mark::Area { x, y, width, height, color } => {
            let mut path = PathBuilder::new();
            path.push_rect(Rect::from_xywh(x, y, width, height).ok_or(RenderError::Geometry)?);
            surface.set_fill(Some(fill(color)));
            surface.draw_path(&path.finish().ok_or(RenderError::Geometry)?);
        }
    }
    Ok(())
}

fn fill(Rgb(red, green, blue): Rgb) -> Fill {
    Fill { paint: rgb::Color::new(red, green, blue).into(), ..Fill::default() }
}
