//! Finds the operation of a request: path first (404), then method (405). Made from the route table alone.

use crate::operation::Operation;
use http::Method;
use std::collections::HashMap;

/// The operations by path template.
pub struct Router {
    root: Node,
}

/// One segment of the way.
#[derive(Default)]
struct Node {
    by_name: HashMap<&'static str, Node>,
    /// A segment that may be anything, with its parameter's name.
    any: Option<(&'static str, Box<Node>)>,
    operations: Vec<&'static Operation>,
}

/// What a request's method and path lead to.
pub enum Match {
    Operation(&'static Operation, Vec<(String, String)>),
    /// The path is there, for these methods.
    OtherMethods(String),
    Nothing,
}

impl Router {
    pub fn new(operations: &'static [Operation]) -> Self {
        let mut root = Node::default();
        for operation in operations {
            let mut node = &mut root;
            for segment in operation.path.trim_start_matches('/').split('/') {
                node = match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                    Some(name) => &mut node.any.get_or_insert_with(|| (name, Box::default())).1,
                    None => node.by_name.entry(segment).or_default(),
                };
            }
            node.operations.push(operation);
        }
        Self { root }
    }

    pub fn find(&self, method: &Method, path: &str) -> Match {
        let mut node = &self.root;
        let mut parameters = Vec::new();
        let Some(path) = path.strip_prefix('/') else { return Match::Nothing };
        for segment in path.split('/') {
            if let Some(next) = node.by_name.get(segment) {
                node = next;
            } else if let (Some((name, next)), Some(value)) = (&node.any, decoded(segment)) {
                parameters.push(((*name).to_owned(), value));
                node = next;
            } else {
                return Match::Nothing;
            }
        }
        if node.operations.is_empty() {
            return Match::Nothing;
        }
        // A HEAD is answered as a GET; the server leaves the body out.
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        match node.operations.iter().find(|operation| operation.method == *wanted) {
            Some(operation) => Match::Operation(operation, parameters),
            None => Match::OtherMethods(allowed(&node.operations)),
        }
    }
}

fn allowed(operations: &[&'static Operation]) -> String {
    let mut methods: Vec<&str> = operations.iter().map(|operation| operation.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.join(", ")
}

/// A percent-decoded segment that is not empty; `None` for what is no UTF-8.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (rest.next()?, rest.next()?);
        let digit = |b: u8| char::from(b).to_digit(16);
        bytes.push((digit(high)? * 16 + digit(low)?) as u8);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::OPERATIONS;
    use rstest::rstest;

    fn find(method: &str, path: &str) -> String {
        let router = Router::new(OPERATIONS);
        match router.find(&method.parse().unwrap(), path) {
            Match::Operation(operation, parameters) => {
                let values: Vec<_> = parameters.into_iter().map(|(_, value)| value).collect();
                format!("{} {}", operation.id, values.join(" ")).trim().to_owned()
            }
            Match::OtherMethods(allowed) => format!("405 {allowed}"),
            Match::Nothing => "404".to_owned(),
        }
    }

    #[rstest]
    #[case("POST", "/quotes", "createQuote")]
    #[case("GET", "/quotes", "listQuotes")]
    #[case("HEAD", "/quotes", "listQuotes")]
    #[case("PATCH", "/quotes", "405 GET, HEAD, POST")]
    #[case("GET", "/quotes/Q-2026-000001", "getQuote Q-2026-000001")]
    #[case("GET", "/quotes/a%2Fb", "getQuote a/b")]
    #[case("GET", "/quotes/%ff", "404")]
    #[case("GET", "/quotes/", "404")]
    #[case("GET", "/quotes/Q-2026-000001/artifacts/a-1/content", "getArtifactContent Q-2026-000001 a-1")]
    #[case("DELETE", "/orders/O-2026-000001/cancellation", "405 POST")]
    #[case("POST", "/quotes/Q-2026-000001/clone", "cloneQuote Q-2026-000001")]
    #[case("GET", "/quotes/Q-2026-000001/revisions/1/diff/2", "diffQuoteRevisions Q-2026-000001 1 2")]
    #[case("POST", "/dead-letters/d-1/redrive", "redriveDeadLetter d-1")]
    #[case("GET", "/", "404")]
    #[case("GET", "/nowhere", "404")]
    fn a_path_leads_to_its_operation(#[case] method: &str, #[case] path: &str, #[case] expected: &str) {
        assert_eq!(find(method, path), expected);
    }

    #[rstest]
    #[case("PUT", "/delegations/d-1")]
    #[case("POST", "/orders/O-2026-000001/amendment")]
    #[case("GET", "/fallout-cases")]
    #[case("GET", "/customers/acct-1001/assets")]
    fn what_is_not_built_yet_is_no_route(#[case] method: &str, #[case] path: &str) {
        assert_eq!(find(method, path), "404");
    }
}
