//! The queries of the dashboard, and the expressions of alerts.

use serde_json::Value;

/// The path of a file of `operations/`.
pub(crate) fn operations(file: &str) -> String {
    format!("{}/../../operations/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[derive(Debug)]
pub(crate) struct Query {
    /// The title of the panel, or the name of the alert.
    pub(crate) name: String,
    pub(crate) expression: String,
    /// The labels that the legend shows. Each series of the result must have them.
    pub(crate) labels: Vec<String>,
}

impl Query {
    fn new(name: &str, expression: String) -> Self {
        Self { name: name.to_owned(), expression, labels: Vec::new() }
    }

    /// The expression of an alert without its threshold.
    pub(crate) fn of_alert(name: &str, expression: &str) -> Self {
        Self::new(name, without_threshold(expression))
    }
}

/// All queries of the dashboard. Variables have the values that Grafana gives them.
pub(crate) fn dashboard_queries() -> Vec<Query> {
    let text = std::fs::read_to_string(operations("grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if variable["type"] == "query" {
            let call = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (metric, label) = call.and_then(|call| call.split_once(", ")).expect(query);
            let expression = format!("count by ({label}) ({metric}{{{label}!=\"\"}})");
            queries.push(Query::new(query, expression));
        }
    }
    add_queries(&dashboard["panels"], &mut queries);
    let has_expression = text.matches("\"expr\"").count();
    let variables = queries.len() - has_expression;
    assert_eq!(variables, 1, "a query is in a place that this test does not read");
    queries
}

/// A row that is collapsed contains its panels.
fn add_queries(panels: &Value, queries: &mut Vec<Query>) {
    for panel in panels.as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect(title);
            let query = query.replace("$__rate_interval", "1m").replace("\"$job\"", "\".*\"");
            assert!(!query.contains('$'), "{title}: a variable that this test does not know");
            let mut query = Query::new(title, query);
            let legend = target["legendFormat"].as_str().expect(title);
            let labels = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            query.labels = labels.map(ToOwned::to_owned).collect();
            queries.push(query);
        }
        if panel["panels"].is_array() {
            add_queries(&panel["panels"], queries);
        }
    }
}

/// The comparison with a number must be at the end.
fn without_threshold(query: &str) -> String {
    let (expression, threshold) = query.trim().rsplit_once(' ').expect(query);
    assert!(threshold.parse::<f64>().is_ok(), "no number at the end of {query}");
    let (expression, operator) = expression.rsplit_once(' ').expect(query);
    assert!(
        [">", "<", ">=", "<=", "=="].contains(&operator),
        "no comparison at the end of {query}"
    );
    expression.to_owned()
}
