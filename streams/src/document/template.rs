//! The registry of proposal templates: each a frozen table of constants under an id and a version.
//! Leaves using them to the renderer.

/// The template that is used where a request names none.
pub const DEFAULT_TEMPLATE_ID: &str = "standard-proposal";

/// An RGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

/// A proposal's look and fixed words. A released version is never changed, since artifacts must render again to the
/// same bytes: a new look is a new version.
#[derive(Debug, PartialEq)]
pub struct Template {
    /// Its name in requests.
    pub id: &'static str,
    /// Its version, recorded with every artifact.
    pub version: &'static str,
    /// The page in points (A4).
    pub page_width: f32,
    /// See `page_width`.
    pub page_height: f32,
    /// Left and right margin.
    pub margin: f32,
    /// Where the content of a following page begins.
    pub top: f32,
    /// Where content must end; the footer stands below.
    pub bottom: f32,
    /// Height of the band on the first page.
    pub band_height: f32,
    /// Height of a text line as a multiple of the font size.
    pub leading: f32,
    /// Font size of ordinary text.
    pub body_size: f32,
    /// Font size of remarks and labels.
    pub small_size: f32,
    /// Indentation of a child line per level.
    pub indent: f32,
    /// The house colour: band, headings, head of tables.
    pub accent: Rgb,
    /// Ordinary text.
    pub ink: Rgb,
    /// Remarks and labels.
    pub muted: Rgb,
    /// Hairlines.
    pub hairline: Rgb,
    /// Tinted areas.
    pub tint: Rgb,
    /// The terms; `{termMonths}`, `{validity}`, `{currency}`, `{tenant}` and `{quote}` are filled in.
    pub terms: &'static [&'static str],
}

/// All templates ever released.
static TEMPLATES: &[Template] = &[Template {
    id: DEFAULT_TEMPLATE_ID,
    version: "1",
    page_width: 595.0,
    page_height: 842.0,
    margin: 48.0,
    top: 48.0,
    bottom: 782.0,
    band_height: 92.0,
    leading: 1.36,
    body_size: 9.0,
    small_size: 7.5,
    indent: 12.0,
    accent: Rgb(20, 52, 92),
    ink: Rgb(28, 32, 38),
    muted: Rgb(98, 106, 118),
    hairline: Rgb(212, 217, 224),
    tint: Rgb(242, 245, 249),
    terms: &[
        "This proposal is an offer by {tenant}. {validity} It is accepted as a whole; a change of its lines needs a \
         new revision.",
        "Recurring charges are billed monthly in advance for a term of {termMonths} from activation of the service. \
         One-time charges are billed on activation. Usage is billed monthly in arrears at the rates shown.",
        "All amounts are in {currency}. Tax is shown at the rates in force when the quote was priced and is billed \
         at the rate in force on the invoice date.",
        "Delivery is subject to the confirmation of inventory and site readiness. The reference of this agreement is \
         {quote}.",
    ],
}];

impl Template {
    /// The template of this id and version, if it was ever released.
    pub fn find(id: &str, version: &str) -> Option<&'static Template> {
        TEMPLATES.iter().find(|template| template.id == id && template.version == version)
    }

    /// The newest version of a template: the registry lists versions from old to new.
    pub fn newest(id: &str) -> Option<&'static Template> {
        TEMPLATES.iter().rev().find(|template| template.id == id)
    }

    /// Width between the margins.
    pub(crate) fn content_width(&self) -> f32 {
        self.page_width - 2.0 * self.margin
    }

    /// Height of one line of text of a size.
    pub(crate) fn line_height(&self, size: f32) -> f32 {
        size * self.leading
    }
}
