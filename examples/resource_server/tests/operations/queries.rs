//! The queries of the dashboard, and the expressions of alerts.

use serde_json::Value;

/// The path of a file of `operations/`.
pub(crate) fn operations(file: &str) -> String {
    format!("{}/../../operations/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// All queries of the dashboard with the title of their panel. Variables have the values that Grafana gives them.
pub(crate) fn dashboard_queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(operations("grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if variable["type"] == "query" {
            let call = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (metric, label) = call.and_then(|call| call.split_once(", ")).expect(query);
            queries.push((
                query.to_owned(),
                format!("count by ({label}) ({metric}{{{label}!=\"\"}})"),
            ));
        }
    }
    add_queries(&dashboard["panels"], &mut queries);
    let has_expression = text.matches("\"expr\"").count();
    let variables = queries.len() - has_expression;
    assert_eq!(variables, 1, "a query is in a place that this test does not read");
    queries
}

/// A row that is collapsed contains its panels.
fn add_queries(panels: &Value, queries: &mut Vec<(String, String)>) {
    for panel in panels.as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect(title);
            let query = query.replace("$__rate_interval", "1m").replace("\"$job\"", "\".*\"");
            assert!(!query.contains('$'), "{title}: a variable that this test does not know");
            queries.push((title.to_owned(), query));
        }
        if panel["panels"].is_array() {
            add_queries(&panel["panels"], queries);
        }
    }
}

/// The expression of an alert without its comparison with a number, which must be at its end.
pub(crate) fn without_threshold(query: &str) -> String {
    let (expression, threshold) = query.trim().rsplit_once(' ').expect(query);
    assert!(threshold.parse::<f64>().is_ok(), "no number at the end of {query}");
    let (expression, operator) = expression.rsplit_once(' ').expect(query);
    assert!(
        [">", "<", ">=", "<=", "=="].contains(&operator),
        "no comparison at the end of {query}"
    );
    expression.to_owned()
}
