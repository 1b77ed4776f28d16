//! Whether a server may be asked, and what its data are.

use std::sync::Arc;

use ::redis::streams::StreamRangeReply;

use super::{
    dial::Connection,
    error::Failure,
    generation::forsaking,
    mark::{Lost, Mark, MarkReply, Objection, Seen, read_tip},
    names::Space,
};

/// Looks at servers: at each connection that is made, and once in each heartbeat, whether or not anybody asks anything.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) space: Arc<Space>,
    pub(super) seen: Arc<Seen>,
}

impl Health {
    /// Asks the server what it is: a master that evicts nothing and has evicted nothing. What its data are is an answer
    /// of its own, because not to be seeded is no reason to go elsewhere.
    ///
    /// One that may have evicted revocations loses the generation on the spot: when its settings are right again, the
    /// data is not.
    ///
    /// `INFO`, because an ACL may well forbid `CONFIG` and `ROLE`.
    pub(super) async fn check(
        &self,
        connection: &Connection,
    ) -> Result<Result<Mark, Failure>, Failure> {
        let before = self.seen.mark();
        let known = before.as_ref().map_or(0, |mark| mark.count);
        let mut all = ::redis::pipe();
        for section in ["memory", "replication", "stats"] {
            all.cmd("INFO").arg(section);
        }
        all.add_command(Mark::command(&self.space));
        // The entry of the latest revocation that is known.
        all.cmd("XRANGE").arg(&self.space.changes);
        all.arg(format!("{known}-0")).arg(format!("{known}-0"));
        let (memory, replication, stats, mark, entry): (
            String,
            String,
            String,
            MarkReply,
            StreamRangeReply,
        ) = all.query_async(&mut connection.0.clone()).await?;

        match field(&replication, "role") {
            Some("master") => {}
            Some(_) => return Err(Failure::Replica),
            None => return Err(Failure::Unreadable),
        }
        if let Err(failure) = evicts(&memory, &stats) {
            if let Ok(mark) = Mark::of(&mark) {
                self.lose(connection, &Mark::never(&mark.generation)).await;
            }
            return Err(failure);
        }
        Ok(match Mark::of(&mark) {
            Ok(mark)
                if before.as_ref().is_some_and(|before| is_replaced(before, &mark, &entry)) =>
            {
                self.lose(connection, &Mark::never(&mark.generation)).await;
                Err(Failure::WentBackwards)
            }
            Ok(mark) => self.judge(connection, before.as_ref(), mark).await,
            Err(failure) => Err(failure),
        })
    }

    /// Whether an answer of that connection is about all the data: `before` was known when its question was sent.
    pub(super) async fn judge(
        &self,
        connection: &Connection,
        before: Option<&Mark>,
        mark: Mark,
    ) -> Result<Mark, Failure> {
        match self.seen.judge(before, &mark) {
            Ok(()) => Ok(mark),
            Err(Objection::Lost(lost)) => {
                self.forsake(connection, &lost).await;
                Err(Failure::WentBackwards)
            }
            Err(Objection::Overtaken) => Err(Failure::Overtaken),
        }
    }

    async fn lose(&self, connection: &Connection, lost: &Lost) {
        self.seen.lose(lost);
        self.forsake(connection, lost).await;
    }

    /// Tells the fleet that data was lost. Where it fails, the loss is not settled, and the next answer leads here again.
    async fn forsake(&self, connection: &Connection, lost: &Lost) {
        let command = forsaking(&self.space, lost);
        if let Ok(0_u64) = command.query_async(&mut connection.0.clone()).await {
            self.seen.settle(lost);
        }
    }
}

/// Whether another revocation stands in the stream in the place of the latest that was known. Where the stream does not
/// reach back so far there is no telling.
fn is_replaced(known: &Mark, mark: &Mark, entry: &StreamRangeReply) -> bool {
    let Some(entry) = entry.ids.first() else { return false };
    let tip = entry.get::<Vec<u8>>("t");
    let is_it = tip.is_some_and(|tip| read_tip(&tip).is_ok_and(|tip| tip == known.tip));
    known.generation == mark.generation && !is_it
}

fn evicts(memory: &str, stats: &str) -> Result<(), Failure> {
    match field(memory, "maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => return Err(Failure::Evicting(policy.to_owned())),
        None => return Err(Failure::Unreadable),
    }
    match field(stats, "evicted_keys") {
        Some("0") => Ok(()),
        Some(_) => Err(Failure::Evicted),
        None => Err(Failure::Unreadable),
    }
}

/// Identifies the process that has answered `INFO`, and its replication history: a process that was a replica for a
/// while may have lost data, and has another history afterwards.
pub(super) fn server(info: &str) -> Result<String, Failure> {
    let read = |name| field(info, name).ok_or(Failure::Unreadable);
    Ok(format!("{} {}", read("run_id")?, read("master_replid")?))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
