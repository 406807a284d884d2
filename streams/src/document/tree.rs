//! The order in which lines are shown: each under its parent, siblings as the quote has them.
//! Leaves drawing them to the sections.

use std::collections::{BTreeMap, BTreeSet};

use super::input::RenderLine;
use super::render::RenderError;

/// A line and how many ancestors it has.
pub(super) struct Placed<'a> {
    pub line: &'a RenderLine,
    pub depth: usize,
}

/// Lines depth first. Walks with a stack of its own: how deep a quote nests is outside data.
pub(super) fn in_tree_order(lines: &[RenderLine]) -> Result<Vec<Placed<'_>>, RenderError> {
    let mut numbers = BTreeSet::new();
    for line in lines {
        if !numbers.insert(line.line_number.as_str()) {
            return Err(RenderError::DuplicateLine(line.line_number.clone()));
        }
    }
    let mut children: BTreeMap<Option<&str>, Vec<&RenderLine>> = BTreeMap::new();
    for line in lines {
        let parent = line.parent_line_number.as_deref();
        if let Some(parent) = parent.filter(|parent| !numbers.contains(parent)) {
            return Err(RenderError::UnknownParent { line: line.line_number.clone(), parent: parent.to_owned() });
        }
        children.entry(parent).or_default().push(line);
    }
    let mut placed = Vec::with_capacity(lines.len());
    let mut stack: Vec<Placed<'_>> = Vec::new();
    push_children(&mut stack, &mut children, None, 0);
    while let Some(next) = stack.pop() {
        push_children(&mut stack, &mut children, Some(next.line.line_number.as_str()), next.depth + 1);
        placed.push(next);
    }
    // What no top line leads to hangs on itself.
    match children.into_values().flatten().next() {
        Some(unreached) => Err(RenderError::LineCycle(unreached.line_number.clone())),
        None => Ok(placed),
    }
}

fn push_children<'a>(
    stack: &mut Vec<Placed<'a>>,
    children: &mut BTreeMap<Option<&'a str>, Vec<&'a RenderLine>>,
    parent: Option<&'a str>,
    depth: usize,
) {
    let of_parent = children.remove(&parent).unwrap_or_default();
    stack.extend(of_parent.into_iter().rev().map(|line| Placed { line, depth }));
}
