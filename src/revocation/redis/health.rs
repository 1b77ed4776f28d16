//! Whether a server may be asked.

use super::{dial::Connection, error::Failure};

/// Asks the server what it is: a master that evicts nothing.
///
/// `INFO`, because an ACL may well forbid `CONFIG` and `ROLE`.
pub(super) async fn check(connection: &Connection) -> Result<(), Failure> {
    let section = |name: &str| {
        let mut command = ::redis::cmd("INFO");
        command.arg(name);
        command
    };
    let mut both = ::redis::pipe();
    both.add_command(section("memory")).add_command(section("replication"));
    let mut connection = connection.0.clone();
    let (memory, replication): (String, String) = both.query_async(&mut connection).await?;
    match field(&memory, "maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => return Err(Failure::Evicting(policy.to_owned())),
        None => return Err(Failure::Unreadable),
    }
    match field(&replication, "role") {
        Some("master") => Ok(()),
        Some(_) => Err(Failure::Replica),
        None => Err(Failure::Unreadable),
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
