//! `/docs`: the API for people, as one page without scripts, written from the same document as `/openapi.json`.

use crate::openapi;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::sync::LazyLock;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2026}\
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #d4d9e0}code,pre{font:13px/1.45 ui-monospace,monospace}\
pre{background:#f2f5f9;padding:.7rem;overflow:auto;border-radius:4px}summary{cursor:pointer;padding:.35rem 0}\
details>div{padding-left:1.2rem}.method{display:inline-block;width:4rem;font-weight:700;color:#14345c}\
.muted{color:#626a76}table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}";

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(openapi::json()).unwrap_or_default();
    page(&document)
});

pub fn html() -> &'static str {
    &PAGE
}

fn page(document: &Value) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>CPQ Streams API</title><style>{STYLE}</style></head><body>\
         <h1>CPQ Streams API</h1><p>{}</p><p class=\"muted\">The same as a document: <a href=\"/openapi.json\">/openapi.json</a>, OpenAPI 3.1.</p>",
        escape(text(&document["info"], "description"))
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(tag, "name");
        let _ = write!(out, "<h2 id=\"{0}\">{0}</h2><p>{1}</p>", escape(name), escape(text(tag, "description")));
        for (path, methods) in members(&document["paths"]) {
            for (method, operation) in members(methods) {
                if operation["tags"][0] == *name {
                    write_operation(&mut out, path, method, operation);
                }
            }
        }
    }
    out.push_str("<h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let shown = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            out,
            "<details id=\"schema-{0}\"><summary><code>{0}</code></summary><pre>{1}</pre></details>",
            escape(name),
            escape(&shown)
        );
    }
    out.push_str("</body></html>");
    out
}

fn write_operation(out: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        out,
        "<details id=\"{}\"><summary><span class=\"method\">{}</span> <code>{}</code> <span class=\"muted\">{}</span></summary><div><p>{}</p>",
        escape(text(operation, "operationId")),
        escape(&method.to_uppercase()),
        escape(path),
        escape(text(operation, "summary")),
        escape(text(operation, "description")),
    );
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter(|p| p.get("name").is_some());
    let rows: String = parameters
        .map(|p| {
            format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                escape(text(p, "name")),
                escape(text(p, "in")),
                escape(text(p, "description"))
            )
        })
        .collect();
    if !rows.is_empty() {
        let _ = write!(out, "<table>{rows}</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"];
    if let Some(example) = body.get("example") {
        let shown = serde_json::to_string_pretty(example).unwrap_or_default();
        let _ = write!(out, "<p>Body: {}</p><pre>{}</pre>", link(&body["schema"]), escape(&shown));
    }
    out.push_str("<table>");
    for (status, response) in members(&operation["responses"]) {
        let schemas: Vec<String> = members(&response["content"]).map(|(_, content)| link(&content["schema"])).collect();
        let _ = write!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
            escape(status),
            escape(text(response, "description")),
            schemas.join(" ")
        );
    }
    out.push_str("</table></div></details>");
}

/// A link to a schema on this page.
fn link(schema: &Value) -> String {
    let one = |schema: &Value| {
        let name = text(schema, "$ref").rsplit('/').next().unwrap_or_default();
        format!("<a href=\"#schema-{0}\"><code>{0}</code></a>", escape(name))
    };
    match schema.get("oneOf").and_then(Value::as_array) {
        Some(several) => several.iter().map(one).collect::<Vec<_>>().join(" or "),
        None if schema.get("$ref").is_some() => one(schema),
        None => String::new(),
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::OPERATIONS;

    #[test]
    fn every_operation_is_on_the_page() {
        for operation in OPERATIONS {
            assert!(html().contains(&format!("id=\"{}\"", operation.id)), "{}", operation.id);
        }
    }

    #[test]
    fn the_page_loads_nothing() {
        assert!(!html().contains("<script") && !html().contains("http://") && !html().contains("https://"));
    }
}
