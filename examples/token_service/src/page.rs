//! Makes an HTML page from the OpenAPI document. The page has no scripts and loads nothing from elsewhere.

use std::fmt::Write;

use serde_json::{Map, Value};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h2{margin-top:2.5rem;border-bottom:1px solid #ccc}section{margin:1.5rem 0}\
code,pre{font:14px/1.5 ui-monospace,monospace;background:#f4f4f4}pre{padding:.7rem;overflow-x:auto}\
.method{display:inline-block;min-width:4.5rem;font-weight:700}\
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}";

/// The page of an OpenAPI document.
pub(crate) fn of(document: &Value) -> String {
    let title = text(&document["info"]["title"]);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p>{}</p>\
         <p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a>, OpenAPI {}.</p>",
        text(&document["info"]["description"]),
        text(&document["openapi"]),
    );
    page.push_str("<h2>Calls</h2>");
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            page.push_str(&call(path, method, operation));
        }
    }
    page.push_str("<h2>Bodies</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        page.push_str(&body(name, schema));
    }
    page.push_str("</html>");
    page
}

fn call(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<section><h3><span class=\"method\">{}</span> <code>{}</code></h3><p>{}</p>",
        escaped(&method.to_uppercase()),
        escaped(path),
        text(&operation["summary"]),
    );
    let needs_token = members_of_list(&operation["security"]).any(|(_, _)| true);
    if needs_token {
        html.push_str("<p>Needs <code>Authorization: Bearer</code>.</p>");
    }
    html.push_str("<table>");
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        row(&mut html, &text(&parameter["name"]), &text(&parameter["description"]), "");
    }
    let content = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !content.is_null() {
        row(&mut html, "body", "", &link(content));
    }
    for (status, response) in members(&operation["responses"]) {
        let schema = &response["content"]["application/json"]["schema"];
        row(&mut html, &escaped(status), &text(&response["description"]), &link(schema));
    }
    html.push_str("</table></section>");
    html
}

fn body(name: &str, schema: &Value) -> String {
    let name = escaped(name);
    let mut html = format!(
        "<section id=\"{name}\"><h3>{name}</h3><p>{}</p><table>",
        text(&schema["description"])
    );
    for (field, property) in members(&schema["properties"]) {
        let kind = match &property["type"] {
            Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
            kind => text(kind),
        };
        row(&mut html, &escaped(field), &text(&property["description"]), &kind);
    }
    html.push_str("</table></section>");
    html
}

fn row(html: &mut String, name: &str, description: &str, rest: &str) {
    // Writing to a `String` does not fail.
    let _ = write!(html, "<tr><td><code>{name}</code><td>{description}<td>{rest}</tr>");
}

fn link(schema: &Value) -> String {
    let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else {
        return String::new();
    };
    let name = escaped(name);
    format!("<a href=\"#{name}\">{name}</a>")
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn members_of_list(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_array().into_iter().flatten().flat_map(members)
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
