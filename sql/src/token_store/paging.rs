//! Statements for one page of a list.

use crate::statement::Value;
use tower_bearer_issuing::store::Page;

/// The values `$5` and `$6` of [`page_sql`].
pub(super) fn bounds(page: Page, page_size: u32) -> [Value; 2] {
    let size = u64::from(page_size.max(1));
    let before = match page {
        Page::Number(number) => number.saturating_sub(1).saturating_mul(size),
        Page::Last => 0,
    };
    [Value::count(size), Value::count(before)]
}

/// Returns a statement for the count and one page of the rows of `table` that satisfy `conditions`. Both are from the
/// same moment. `conditions` uses the values `$1` to `$4`, and perhaps `$7`. `$5` is the size of a page, and `$6` is how
/// many rows come before it. The first column of the answer is the count. `columns` of `listed` follow, the first of
/// which is `id`. On an empty page the `id` is null.
///
/// Only the numbers and the columns of the order are read for all rows, and once. So an index can be enough for them.
///
/// Every column is used once for the order. A repeated column would have no effect, and this way a request cannot make
/// the text long.
pub(super) fn page_sql(
    table: &str,
    conditions: &str,
    columns: &str,
    ordering: impl Iterator<Item = (&'static str, bool)>,
    page: Page,
) -> String {
    let offset = match page {
        Page::Number(_) => "$6",
        // $6 is 0 here. It is in the statement because every parameter must be used.
        Page::Last => {
            "$6 + (SELECT CASE WHEN count(*) > 0 THEN (count(*) - 1) / $5 * $5 ELSE 0 END FROM found)"
        }
    };
    let ordering = without_repetitions(ordering);
    let ordered_by: Vec<&str> = ordering.iter().map(|(column, _)| *column).collect();
    let (ordered_by, order) = (ordered_by.join(", "), order(&ordering));
    format!(
        "WITH found AS MATERIALIZED (SELECT {ordered_by} FROM {table} WHERE {conditions})
         SELECT total.number, {columns}
         FROM (SELECT count(*) AS number FROM found) AS total
         LEFT JOIN (SELECT * FROM found AS page ORDER BY {order} LIMIT $5 OFFSET {offset}) AS page ON 1 = 1
         LEFT JOIN {table} AS listed ON listed.id = page.id
         ORDER BY {order}"
    )
}

/// The columns and whether they are descending. One of them is `id`, so the order is total.
fn without_repetitions(
    ordering: impl Iterator<Item = (&'static str, bool)>,
) -> Vec<(&'static str, bool)> {
    let mut columns: Vec<(&str, bool)> = Vec::new();
    for (column, descending) in ordering.chain([("id", false)]) {
        if !columns.iter().any(|(known, _)| *known == column) {
            columns.push((column, descending));
        }
    }
    columns
}

fn order(ordering: &[(&'static str, bool)]) -> String {
    let terms = ordering.iter().map(|(column, descending)| {
        let direction = if *descending { "DESC NULLS LAST" } else { "ASC NULLS FIRST" };
        format!("page.{column} {direction}")
    });
    terms.collect::<Vec<_>>().join(", ")
}
