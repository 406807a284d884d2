//! The models open in Camunda Modeler: everything that is executed is also drawn, inside of what holds it, and
//! has a name for people.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use pretty_assertions::assert_eq;
use roxmltree::{Document, Node};
use rstest::rstest;
use std::collections::BTreeMap;

const BPMN: &str = "http://www.omg.org/spec/BPMN/20100524/MODEL";
const CAMUNDA: &str = "http://camunda.org/schema/1.0/bpmn";
const APPROVAL: &str = include_str!("../models/quote-approval.bpmn");
const FULFILMENT: &str = include_str!("../models/order-fulfillment.bpmn");
const POLICY: &str = include_str!("../models/approval-policy.dmn");

type Box = (f64, f64, f64, f64);

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

/// Bounds of every shape, by what it shows.
fn shapes(document: &Document<'_>) -> BTreeMap<String, Box> {
    let shapes = document.descendants().filter(|node| node.tag_name().name() == "BPMNShape");
    let bounds = |shape: Node<'_, '_>| {
        let bounds = shape.children().find(|child| child.tag_name().name() == "Bounds").unwrap();
        (number(bounds, "x"), number(bounds, "y"), number(bounds, "width"), number(bounds, "height"))
    };
    shapes.map(|shape| (shape.attribute("bpmnElement").unwrap().to_owned(), bounds(shape))).collect()
}

fn flow_nodes<'a, 'i>(document: &'a Document<'i>) -> Vec<Node<'a, 'i>> {
    let is_flow_node = |node: &Node<'_, '_>| {
        let name = node.tag_name().name();
        node.tag_name().namespace() == Some(BPMN)
            && ["Event", "Task", "Gateway", "ubProcess"].iter().any(|kind| name.ends_with(kind))
    };
    document.descendants().filter(is_flow_node).collect()
}

#[rstest]
#[case(APPROVAL)]
#[case(FULFILMENT)]
fn every_element_is_drawn_inside_of_what_holds_it(#[case] model: &str) {
    let document = Document::parse(model).unwrap();
    let shapes = shapes(&document);
    for node in flow_nodes(&document) {
        let id = node.attribute("id").unwrap();
        let (x, y, w, h) = *shapes.get(id).unwrap_or_else(|| panic!("{id} is not drawn"));
        let parent = node.parent().unwrap().attribute("id").unwrap();
        if let Some((px, py, pw, ph)) = shapes.get(parent).copied()
            && node.attribute("attachedToRef").is_none()
        {
            assert!(x > px && y > py && x + w < px + pw && y + h < py + ph, "{id} is drawn outside of {parent}");
        }
    }
    assert_eq!(shapes.len(), flow_nodes(&document).len());
}

#[rstest]
#[case(APPROVAL)]
#[case(FULFILMENT)]
fn every_flow_is_drawn_from_its_source_to_its_target(#[case] model: &str) {
    let document = Document::parse(model).unwrap();
    let shapes = shapes(&document);
    for flow in document.descendants().filter(|node| node.has_tag_name((BPMN, "sequenceFlow"))) {
        let id = flow.attribute("id").unwrap();
        let edge = document
            .descendants()
            .find(|node| node.tag_name().name() == "BPMNEdge" && node.attribute("bpmnElement") == Some(id))
            .unwrap_or_else(|| panic!("{id} is not drawn"));
        let points: Vec<Node<'_, '_>> = edge.children().filter(|node| node.tag_name().name() == "waypoint").collect();
        let touches = |point: Node<'_, '_>, element: &str| {
            let (x, y, w, h) = shapes[flow.attribute(element).unwrap()];
            let (px, py) = (number(point, "x"), number(point, "y"));
            px >= x - 1.0 && px <= x + w + 1.0 && py >= y - 1.0 && py <= y + h + 1.0
        };
        assert!(points.len() >= 2 && touches(points[0], "sourceRef"), "{id} does not leave its source");
        assert!(touches(*points.last().unwrap(), "targetRef"), "{id} does not reach its target");
    }
}

#[rstest]
#[case(APPROVAL)]
#[case(FULFILMENT)]
fn everything_has_a_name_and_a_kebab_case_id_of_its_own(#[case] model: &str) {
    let document = Document::parse(model).unwrap();
    let mut ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    let kebab = |id: &&str| id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    assert_eq!(ids.iter().find(|id| !kebab(id)), None);
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for node in flow_nodes(&document) {
        // A gateway that only joins says nothing.
        let joins = node.children().filter(|child| child.has_tag_name((BPMN, "outgoing"))).count() == 1
            && node.tag_name().name().ends_with("Gateway");
        assert!(joins || node.attribute("name").is_some(), "{:?} has no name", node.attribute("id"));
    }
}

#[rstest]
#[case(APPROVAL, &["admit", "escalate-approval-step", "open-approval-group"])]
#[case(FULFILMENT, &[
    "activate-service", "admit", "await-dependencies", "compensate-order", "plan-line", "raise-fallout",
    "reserve-inventory", "start-billing",
])]
fn the_topics_are_those_that_the_bridge_works_on(#[case] model: &str, #[case] expected: &[&str]) {
    let document = Document::parse(model).unwrap();
    let mut topics: Vec<&str> = document.descendants().filter_map(|node| node.attribute((CAMUNDA, "topic"))).collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!(topics, expected);
}

#[test]
fn the_decision_table_is_drawn() {
    let document = Document::parse(POLICY).unwrap();
    let shape = document.descendants().find(|node| node.tag_name().name() == "DMNShape").unwrap();
    assert_eq!(shape.attribute("dmnElementRef"), Some("approval-policy"));
    assert!(shape.children().any(|child| child.tag_name().name() == "Bounds"));
}

#[rstest]
#[case(APPROVAL)]
#[case(FULFILMENT)]
#[case(POLICY)]
fn history_has_an_end(#[case] model: &str) {
    assert!(model.contains("camunda:historyTimeToLive=\"P180D\""));
}
