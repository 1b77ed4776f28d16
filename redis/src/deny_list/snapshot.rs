//! Reads all revocation entries at once.

use super::{
    super::{
        dial::Connection,
        error::Failure,
        health::Health,
        mark::Mark,
        names::{Dates, Name},
    },
    set::Set,
};
use tower_bearer::claims::Moment;

/// How many keys are read at once.
const BATCH: usize = 1_000;

/// The key and the value of a revocation entry.
type Denial = (Vec<u8>, Option<Vec<u8>>);

/// Reads all entries, including those that are written meanwhile. The mark was read before the entries.
///
/// An entry that is lost meanwhile could be missing from the snapshot. So the data is checked again at the end. That
/// check also shows that nothing was evicted, so an entry that has disappeared by then had expired.
pub(super) async fn take(
    health: &Health,
    connection: &Connection,
    now: Moment,
) -> Result<(Mark, Set), Failure> {
    let mark = health.check(connection).await??;
    let prefix = health.space.denials();
    let pattern = format!("{}*", literally(&prefix));
    let mut set = Set::default();
    let mut cursor = "0".to_owned();
    loop {
        let (next, denials) = read(connection, &cursor, &pattern).await?;
        for (key, value) in denials {
            // The key may belong to another fleet whose prefix begins with the key prefix of this fleet's entries.
            let name = key.strip_prefix(prefix.as_bytes()).map(Name::read);
            let (Some(Ok(name)), Some(value)) = (name, value) else { continue };
            set.insert(name, Dates::read(&value)?, now);
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    let after = health.check(connection).await??;
    if after.generation != mark.generation {
        return Err(Failure::WentBackwards);
    }
    Ok((mark, set))
}

async fn read(
    connection: &Connection,
    cursor: &str,
    pattern: &str,
) -> Result<(String, Vec<Denial>), Failure> {
    let mut connection = connection.0.clone();
    let mut scan = ::redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(BATCH);
    let (next, keys): (String, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
    if keys.is_empty() {
        return Ok((next, Vec::new()));
    }
    let mut read = ::redis::cmd("MGET");
    keys.iter().for_each(|key| {
        read.arg(key);
    });
    let values: Vec<Option<Vec<u8>>> = read.query_async(&mut connection).await?;
    if values.len() != keys.len() {
        return Err(Failure::Unreadable);
    }
    Ok((next, keys.into_iter().zip(values).collect()))
}

/// Returns a pattern that matches only this prefix.
fn literally(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
