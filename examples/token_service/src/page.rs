//! Makes an HTML page from the OpenAPI document. The page has no scripts and loads nothing from elsewhere.

use std::fmt::Write;

use pulldown_cmark::{Event, Parser, html};
use serde_json::{Map, Value, json};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h2{margin-top:2.5rem;border-bottom:1px solid #ccc}section{margin:1.5rem 0}\
code,pre{font:14px/1.5 ui-monospace,monospace;background:#f4f4f4}pre{padding:.7rem;overflow-x:auto}\
.method{display:inline-block;min-width:4.5rem;font-weight:700}\
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}";

/// The page of an OpenAPI document. `base` is the URL of the service, for the `curl` lines.
pub(crate) fn of(document: &Value, base: &str) -> String {
    let title = text(&document["info"]["title"]);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1>{}\
         <p><a href=\"tokens/\">Manage your private tokens</a> in the browser.</p>\
         <p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a>, OpenAPI {}.</p>",
        markdown(&document["info"]["description"]),
        text(&document["openapi"]),
    );
    page.push_str("<h2>Calls</h2>");
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            let curl = curl(document, base, path, method, operation);
            page.push_str(&call(path, method, operation, &curl));
        }
    }
    page.push_str("<h2>Bodies</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        page.push_str(&body(name, schema));
    }
    page.push_str("</html>");
    page
}

fn call(path: &str, method: &str, operation: &Value, curl: &str) -> String {
    let mut html = format!(
        "<section><h3><span class=\"method\">{}</span> <code>{}</code></h3>{}{}",
        escaped(&method.to_uppercase()),
        escaped(path),
        markdown(&operation["summary"]),
        markdown(&operation["description"]),
    );
    if needs_token(operation) {
        html.push_str("<p>Needs <code>Authorization: Bearer</code>.</p>");
    }
    // Writing to a `String` does not fail.
    let _ = write!(html, "<pre>{}</pre><table>", escaped(curl));
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        row(&mut html, &text(&parameter["name"]), &markdown(&parameter["description"]), "");
    }
    let content = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !content.is_null() {
        row(&mut html, "body", "", &link(content));
    }
    for (status, response) in members(&operation["responses"]) {
        let content = &response["content"]["application/json"];
        let mut body = link(&content["schema"]);
        if !content["example"].is_null() {
            let _ = write!(body, "<pre>{}</pre>", escaped(&content["example"].to_string()));
        }
        row(&mut html, &escaped(status), &markdown(&response["description"]), &body);
    }
    html.push_str("</table></section>");
    html
}

fn body(name: &str, schema: &Value) -> String {
    let name = escaped(name);
    let mut html = format!(
        "<section id=\"{name}\"><h3>{name}</h3>{}<table>",
        markdown(&schema["description"])
    );
    for (field, property) in members(&schema["properties"]) {
        let kind = match &property["type"] {
            Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
            kind => text(kind),
        };
        row(&mut html, &escaped(field), &markdown(&property["description"]), &kind);
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

/// A command that makes this call. `$TOKEN` is an access token.
fn curl(document: &Value, base: &str, path: &str, method: &str, operation: &Value) -> String {
    let path = path.replace("{id}", "1");
    let mut line = String::from("curl -i");
    if method != "get" && !(method == "post" && operation["requestBody"].is_object()) {
        let _ = write!(line, " -X {}", method.to_uppercase());
    }
    let _ = write!(line, " {base}{path}");
    if needs_token(operation) {
        line.push_str(" -H \"Authorization: Bearer $TOKEN\"");
    }
    let content = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(name) = content["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let body = example(&document["components"]["schemas"][name]);
        let _ = write!(line, " -H 'Content-Type: application/json' -d '{body}'");
    }
    line
}

/// A body with the required members of a schema: their own examples, or a value of their type.
fn example(schema: &Value) -> Value {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let value = |property: &Value| match (&property["example"], property["type"].as_str()) {
        (Value::Null, Some("integer")) => json!(60),
        (Value::Null, _) if property["format"] == "date-time" => json!("2030-01-01T00:00:00Z"),
        (Value::Null, _) => json!("..."),
        (example, _) => example.clone(),
    };
    required
        .map(|name| (name.to_owned(), value(&schema["properties"][name])))
        .collect::<Map<_, _>>()
        .into()
}

fn needs_token(operation: &Value) -> bool {
    members_of_list(&operation["security"]).next().is_some()
}

/// Descriptions are Markdown (OpenAPI 3.1). HTML in them is shown as text.
fn markdown(value: &Value) -> String {
    let events = Parser::new(value.as_str().unwrap_or_default()).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        event => event,
    });
    let mut html = String::new();
    html::push_html(&mut html, events);
    html
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
