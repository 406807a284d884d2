//! The smallest case that still disagrees: everything that may go without the disagreement going is taken out.

use serde_json::Value;

/// Cases that are tried: enough for the largest batch, and an end if one is slow.
const MAX_TRIES: usize = 5_000;

/// `case` without whatever `disagrees` does not need.
pub fn shrink(mut case: Value, mut disagrees: impl FnMut(&Value) -> bool) -> Value {
    let mut tries = 0;
    loop {
        let before = case.clone();
        let mut at = 0;
        // Outer before inner, so that whole entries go before their members.
        while let Some(place) = places(&case).get(at).filter(|_| tries < MAX_TRIES) {
            let smaller = without(&case, place);
            tries += 1;
            if disagrees(&smaller) {
                case = smaller;
            } else {
                at += 1;
            }
        }
        if case == before || tries >= MAX_TRIES {
            return case;
        }
    }
}

#[derive(Clone)]
enum Step {
    Member(String),
    Element(usize),
}

fn places(value: &Value) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    let mut level = vec![(Vec::new(), value)];
    while !level.is_empty() {
        let mut below = Vec::new();
        for (place, value) in level {
            let inner: Vec<(Step, &Value)> = match value {
                Value::Object(members) => {
                    members.iter().map(|(name, value)| (Step::Member(name.clone()), value)).collect()
                }
                Value::Array(elements) => {
                    elements.iter().enumerate().map(|(i, value)| (Step::Element(i), value)).collect()
                }
                _ => Vec::new(),
            };
            for (step, value) in inner {
                let mut place: Vec<Step> = place.clone();
                place.push(step);
                found.push(place.clone());
                below.push((place, value));
            }
        }
        level = below;
    }
    found
}

fn without(value: &Value, place: &[Step]) -> Value {
    let mut smaller = value.clone();
    let mut inner = &mut smaller;
    for (depth, step) in place.iter().enumerate() {
        let last = depth + 1 == place.len();
        inner = match (step, inner) {
            (Step::Member(name), Value::Object(members)) if last => {
                members.remove(name);
                break;
            }
            (Step::Element(i), Value::Array(elements)) if last => {
                elements.remove(*i);
                break;
            }
            (Step::Member(name), inner) => &mut inner[name.as_str()],
            (Step::Element(i), inner) => &mut inner[*i],
        };
    }
    smaller
}
