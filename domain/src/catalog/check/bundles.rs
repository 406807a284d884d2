//! Bundles must end: no offering may stand, however deep, under itself.

use super::Faults;
use crate::catalog::CatalogSource;
use crate::ids::OfferingId;
use crate::rejection::FieldCode;
use std::collections::HashMap;

/// A child entry: whose, which.
struct Edge<'a> {
    to: &'a OfferingId,
    pointer: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Done,
}

/// Walks all bundles depth first without recursion, as a catalog may nest deeper than a stack.
pub(super) fn check(source: &CatalogSource, faults: &mut Faults) {
    let mut edges: HashMap<&OfferingId, Vec<Edge>> = HashMap::new();
    for (i, offering) in source.offerings.iter().enumerate() {
        for (k, child) in offering.children.iter().enumerate() {
            let pointer = format!("/offerings/{i}/children/{k}/offeringId");
            edges.entry(&offering.id).or_default().push(Edge { to: &child.offering_id, pointer });
        }
    }
    let mut marks: HashMap<&OfferingId, Mark> = HashMap::new();
    for offering in &source.offerings {
        if marks.contains_key(&offering.id) {
            continue;
        }
        marks.insert(&offering.id, Mark::Open);
        let mut path: Vec<(&OfferingId, usize)> = vec![(&offering.id, 0)];
        while let Some((id, next)) = path.last_mut() {
            let id = *id;
            let Some(edge) = edges.get(id).and_then(|own| own.get(*next)) else {
                marks.insert(id, Mark::Done);
                path.pop();
                continue;
            };
            *next += 1;
            match marks.get(edge.to) {
                Some(Mark::Done) => {}
                Some(Mark::Open) => {
                    let circle = path.iter().map(|(id, _)| id.as_str()).skip_while(|id| *id != edge.to.as_str());
                    let circle: Vec<&str> = circle.chain([edge.to.as_str()]).collect();
                    let detail = format!("the bundle contains itself: {}", circle.join(" > "));
                    faults.add(edge.pointer.clone(), FieldCode::NotAllowed, detail);
                }
                None => {
                    marks.insert(edge.to, Mark::Open);
                    path.push((edge.to, 0));
                }
            }
        }
    }
}
