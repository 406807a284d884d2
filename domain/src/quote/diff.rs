//! What changed between two revisions of a quote: its fields, lines, price, approval, artifact and acceptance,
//! as data and as sentences. What a quote says in each of them is in `diff_facts`.

use super::diff_facts::{self, Part};
use super::{PricedOffer, Quote, QuoteStatus};
use crate::ids::{LineNumber, QuoteId};
use crate::pricing::PriceKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What changed from one revision of a quote to another. Of two equal states it is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RevisionDiff {
    pub quote_id: QuoteId,
    pub from: RevisionPoint,
    pub to: RevisionPoint,
    /// Of the quote itself.
    pub fields: Vec<FieldDiff>,
    pub lines: Vec<LineDiff>,
    pub price: Option<PriceDiff>,
    pub approval: Option<PartDiff>,
    pub artifact: Option<PartDiff>,
    pub acceptance: Option<PartDiff>,
    /// The same in plain English, a sentence for each change. The parts of what was added or removed as a whole
    /// have none of their own.
    pub sentences: Vec<String>,
}

/// One side of the comparison: the last state of a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RevisionPoint {
    pub revision: u32,
    pub status: QuoteStatus,
}

/// What became of a part of the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DiffChange {
    Added,
    Removed,
    Changed,
}

/// A field whose value differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldDiff {
    /// The field's name in the Quote, as `quantity` or `characteristics.bandwidth`.
    pub field: String,
    /// Null where there was none.
    pub before: Value,
    /// Null where there is none.
    pub after: Value,
}

/// A configured line that differs. Lines are the same if their line numbers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LineDiff {
    pub line_number: LineNumber,
    pub change: DiffChange,
    /// All that became of the line.
    pub sentence: String,
    pub fields: Vec<FieldDiff>,
}

/// A price that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceDiff {
    pub change: DiffChange,
    /// The totals, and which price it is.
    pub fields: Vec<FieldDiff>,
    /// The discounts and overrides that were asked for.
    pub discounts: Vec<FieldDiff>,
    pub lines: Vec<PriceLineDiff>,
}

/// What one line costs, for one kind of price, where that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceLineDiff {
    pub line_number: LineNumber,
    pub kind: PriceKind,
    pub change: DiffChange,
    pub fields: Vec<FieldDiff>,
}

/// An approval, artifact or acceptance that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PartDiff {
    pub change: DiffChange,
    pub fields: Vec<FieldDiff>,
}

impl From<Compared> for PartDiff {
    fn from(compared: Compared) -> Self {
        Self { change: compared.change, fields: compared.fields }
    }
}

/// What changed from `before` to `after`, two states of one quote. Either may be the older.
pub fn diff(before: &Quote, after: &Quote) -> RevisionDiff {
    let mut sentences = Vec::new();
    let point = |quote: &Quote| RevisionPoint { revision: quote.revision, status: quote.status() };
    let of_quote = told(compare(Some(&diff_facts::quote(before)), Some(&diff_facts::quote(after))), &mut sentences);
    let lines = lines(before, after, &mut sentences);
    let price = price(before.price(), after.price(), &mut sentences);
    let mut part = |of: fn(&Quote) -> Option<Part>| {
        told(compare(of(before).as_ref(), of(after).as_ref()), &mut sentences).map(PartDiff::from)
    };
    RevisionDiff {
        quote_id: after.quote_id.clone(),
        from: point(before),
        to: point(after),
        fields: of_quote.map(|compared| compared.fields).unwrap_or_default(),
        lines,
        price,
        approval: part(|quote| quote.approval().map(diff_facts::approval)),
        artifact: part(|quote| quote.artifact().map(diff_facts::artifact)),
        acceptance: part(|quote| quote.acceptance().map(diff_facts::acceptance)),
        sentences,
    }
}

fn lines(before: &Quote, after: &Quote, sentences: &mut Vec<String>) -> Vec<LineDiff> {
    let compared = compare_all(&diff_facts::lines(before), &diff_facts::lines(after));
    let told = compared.into_iter().map(|(place, compared)| {
        sentences.extend(compared.sentences());
        LineDiff {
            line_number: place.line_number,
            change: compared.change,
            sentence: compared.sentence(),
            fields: compared.fields,
        }
    });
    told.collect()
}

fn price(before: Option<&PricedOffer>, after: Option<&PricedOffer>, sentences: &mut Vec<String>) -> Option<PriceDiff> {
    let of = |offer: Option<&PricedOffer>| {
        let request = offer.map(|offer| offer.request.clone()).unwrap_or_default();
        let lines = offer.map(|offer| diff_facts::price_lines(&offer.price)).unwrap_or_default();
        (offer.map(diff_facts::price), diff_facts::asked(&request), lines)
    };
    let (before, after) = (of(before), of(after));
    let totals = told(compare(before.0.as_ref(), after.0.as_ref()), sentences);
    let discounts = told(compare(Some(&before.1), Some(&after.1)), sentences);
    let lines = compare_all(&before.2, &after.2);
    let change = match &totals {
        Some(compared) => compared.change,
        None if discounts.is_none() && lines.is_empty() => return None,
        None => DiffChange::Changed,
    };
    if change == DiffChange::Changed {
        sentences.extend(lines.iter().flat_map(|(_, compared)| compared.sentences()));
    }
    let lines = lines.into_iter().map(|((place, kind), compared)| PriceLineDiff {
        line_number: place.line_number,
        kind,
        change: compared.change,
        fields: compared.fields,
    });
    Some(PriceDiff {
        change,
        fields: totals.map(|compared| compared.fields).unwrap_or_default(),
        discounts: discounts.map(|compared| compared.fields).unwrap_or_default(),
        lines: lines.collect(),
    })
}

/// A part that differs, with the phrases that say how.
struct Compared {
    change: DiffChange,
    fields: Vec<FieldDiff>,
    title: String,
    phrases: Vec<String>,
}

impl Compared {
    /// One sentence for each change.
    fn sentences(&self) -> impl Iterator<Item = String> {
        self.phrases.iter().map(|phrase| format!("{}{phrase}.", self.title))
    }
    /// All changes in one.
    fn sentence(&self) -> String {
        format!("{}{}.", self.title, self.phrases.join("; "))
    }
}

fn told(compared: Option<Compared>, sentences: &mut Vec<String>) -> Option<Compared> {
    sentences.extend(compared.iter().flat_map(Compared::sentences));
    compared
}

/// The parts that differ, in the order of their keys.
fn compare_all<K: Ord + Clone>(before: &BTreeMap<K, Part>, after: &BTreeMap<K, Part>) -> Vec<(K, Compared)> {
    let keys: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    let compared = keys.into_iter().map(|key| Some((key.clone(), compare(before.get(key), after.get(key))?)));
    compared.flatten().collect()
}

/// How a part differs; `None` if it does not.
fn compare(before: Option<&Part>, after: Option<&Part>) -> Option<Compared> {
    let whole = |part: &Part, change: DiffChange, became: &str| Compared {
        change,
        fields: fields(before, after).map(|(_, field)| field).collect(),
        title: part.title.clone(),
        phrases: vec![format!(" ({}) was {became}", part.summary)],
    };
    match (before, after) {
        (None, None) => None,
        (None, Some(part)) => Some(whole(part, DiffChange::Added, "added")),
        (Some(part), None) => Some(whole(part, DiffChange::Removed, "removed")),
        (Some(_), Some(part)) => {
            let (phrases, fields): (Vec<_>, Vec<_>) = fields(before, after).unzip();
            let title = format!("{}: ", part.title);
            (!fields.is_empty()).then_some(Compared { change: DiffChange::Changed, fields, title, phrases })
        }
    }
}

/// The fields that differ, each with a phrase.
fn fields<'a>(before: Option<&'a Part>, after: Option<&'a Part>) -> impl Iterator<Item = (String, FieldDiff)> + 'a {
    let facts = before.into_iter().chain(after).flat_map(|part| &part.facts);
    let names: BTreeMap<_, _> = facts.map(|(place, fact)| (place, &fact.called)).collect();
    names.into_iter().filter_map(move |(place, called)| {
        let value = |part: Option<&Part>| part.and_then(|part| part.facts.get(place)).map(|fact| fact.value.clone());
        let (before, after) = (value(before), value(after));
        let phrase = match (&before, &after) {
            (Some(before), Some(after)) if before == after => return None,
            (Some(before), Some(after)) => format!("{called} {} became {}", shown(before), shown(after)),
            (Some(before), None) => format!("{called} {} was removed", shown(before)),
            (None, Some(after)) => format!("{called} {} was added", shown(after)),
            (None, None) => return None,
        };
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        Some((phrase, FieldDiff { field: place.1.clone(), before, after }))
    })
}

/// A value in a sentence: a text without quotation marks.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
