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

/// Returns a statement for the count and one page of the rows that `found` selects. Both are from the same moment.
/// `found` uses the values `$1` to `$4`, and perhaps `$7`. `$5` is the size of a page, and `$6` is how many rows come
/// before it. The first column of the answer is the count. The columns of `found` follow, the first of which is `id`.
/// On an empty page they are null.
///
/// Every column is used once for the order. A repeated column would have no effect, and this way a request cannot make
/// the text long.
pub(super) fn page_sql(
    found: &str,
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
    let order = order(ordering);
    format!(
        "WITH found AS ({found})
         SELECT total.number, page.*
         FROM (SELECT count(*) AS number FROM found) AS total
         LEFT JOIN (SELECT * FROM found ORDER BY {order} LIMIT $5 OFFSET {offset}) AS page ON 1 = 1
         ORDER BY {order}"
    )
}

fn order(ordering: impl Iterator<Item = (&'static str, bool)>) -> String {
    let mut columns: Vec<&str> = Vec::new();
    let mut order = String::new();
    for (column, descending) in ordering.chain([("id", false)]) {
        if columns.contains(&column) {
            continue;
        }
        if !columns.is_empty() {
            order.push_str(", ");
        }
        columns.push(column);
        order.push_str(column);
        order.push_str(if descending { " DESC NULLS LAST" } else { " ASC NULLS FIRST" });
    }
    order
}
