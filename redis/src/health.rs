//! Checks whether the store may use a server, and whether its data is complete.

use std::sync::Arc;

use ::redis::streams::StreamRangeReply;

use super::{
    dial::Connection,
    error::Failure,
    generation::forsaking,
    mark::{Lost, Mark, MarkReply, Objection, Seen, read_tip},
    names::Space,
};

/// Checks servers: at each new connection, and once in each heartbeat, even without requests.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) space: Arc<Space>,
    pub(super) seen: Arc<Seen>,
}

impl Health {
    /// Checks that the server is a master, does not evict keys and has not evicted any. The inner result is about the
    /// data: if Redis is not seeded, that is not a reason to use another server.
    ///
    /// If the server may have evicted revocations, this removes the generation at once. The right settings do not bring
    /// the data back.
    ///
    /// It uses `INFO`, because an ACL may forbid `CONFIG` and `ROLE`.
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

    /// Checks whether an answer on that connection covers all the data. `before` is the mark that was known when the
    /// question was sent.
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

    /// Removes the generation because data was lost, which makes the whole fleet unavailable. If this fails, the loss
    /// is not settled, and the next answer leads to this call again.
    async fn forsake(&self, connection: &Connection, lost: &Lost) {
        let command = forsaking(&self.space, lost);
        if let Ok(0_u64) = command.query_async(&mut connection.0.clone()).await {
            self.seen.settle(lost);
        }
    }
}

/// Returns whether the stream has a different revocation in the place of the latest known one. If the stream does not
/// reach back that far, this cannot be known, and the result is `false`.
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

/// Identifies the process that has answered `INFO`, and its replication history. A process that was a replica for a
/// while may have lost data. It has a different history afterwards.
pub(super) fn server(info: &str) -> Result<String, Failure> {
    let read = |name| field(info, name).ok_or(Failure::Unreadable);
    Ok(format!("{} {}", read("run_id")?, read("master_replid")?))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
