//! The store: looks tokens up, revokes them, and seeds Redis. Holds the lease of relays.

use std::{fmt, slice, sync::Arc, time::Duration};

use ::redis::Cmd;

use super::{
    connection::Dialer,
    data_loss::{
        Health, Incomplete, KnownPositions, Lost, Position, PositionReply,
        remove_generation_command, server,
    },
    error::Failure,
    keys::{Dates, HashedName, Keys, Record, hex},
    reconnect::{Link, ReplicaWait},
};
use tower_bearer::{
    BackgroundTask, BoxFuture, UnixTime,
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
};

/// How many revocation entries one step of a seeding writes.
const BATCH: usize = 500;

/// A seeding without progress for this long is over.
const SEEDING_SECONDS: u64 = 30;

/// Writes a generation if there is none. Returns 1 if it has written it, 0 if there is one, and 2 if a seeding is in
/// progress.
const INITIALISE: &str = r"
if redis.call('GET', KEYS[1]) then return 0 end
if redis.call('GET', KEYS[2]) then return 2 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
";

/// Begins a seeding, unless another one is in progress. Returns 1 if it has begun, 2 if another one is in progress, and
/// 0 if only a missing generation was to be seeded and there is one.
const BEGIN: &str = r"
if ARGV[3] == '1' and redis.call('GET', KEYS[1]) then return 0 end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'EX', ARGV[2]) then return 1 end
return 2
";

/// Writes the generation, if the seeding with this token is still in progress and every batch is in Redis.
const FINISH: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
";

/// Ends a seeding without a generation.
const ABANDON: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// Revocations in Redis, under the rules of the [crate]. Clones share connections.
///
/// The store reconnects by itself as long as a clone exists. While it is not connected, lookups fail at once. The
/// exception: right after a connection was lost, they wait for the first attempt to reconnect.
#[derive(Clone)]
pub struct RedisStore(pub(super) Arc<StoreInner>);

pub(super) struct StoreInner {
    pub(super) keys: Arc<Keys>,
    pub(super) link: Link,
    /// The connection for revocations that wait for replicas.
    pub(super) replica_wait: Option<ReplicaWait>,
    pub(super) known: Arc<KnownPositions>,
    pub(super) health: Health,
    /// Makes the connections for pushes.
    pub(super) dialer: Dialer,
    /// Keeps both connections.
    pub(super) task: BackgroundTask,
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        self.task.stop();
    }
}

impl RedisStore {
    /// Returns the task that keeps the connections: it checks them once a second, and reconnects. Its
    /// [health](BackgroundTask::health) shows a Redis that cannot be used, with the kind of the error.
    ///
    /// If it is stopped, the connections are given up, and every lookup and every revocation fails. The task stops by
    /// itself when the last clone of the store is dropped.
    #[must_use]
    pub fn task(&self) -> BackgroundTask {
        self.0.task.clone()
    }

    async fn ask(&self, lookup: &Lookup) -> Result<Verdict, Failure> {
        let before = self.0.known.latest();
        let keys = &self.0.keys;
        let mut command = ::redis::cmd("MGET");
        command.arg(&keys.generation).arg(&keys.count);
        for thing in lookup.things() {
            command.arg(keys.entry_key(HashedName::of(thing)));
        }
        let answer: Vec<Option<Vec<u8>>> = self.0.link.send(&command).await?;
        let (Some(generation), Some(count)) = (answer.first(), answer.get(1)) else {
            return Err(Failure::Unreadable);
        };
        self.check_position(before, Position::read(generation.as_deref(), count.as_deref())?)
            .await?;
        let denials = answer.get(2..).unwrap_or_default();
        if denials.len() != lookup.things().len() {
            return Err(Failure::Unreadable);
        }
        let mut start = None;
        for denial in denials.iter().flatten() {
            let Dates { cut_off, starts_at, .. } = Dates::read(denial)?;
            if cut_off >= lookup.issued_at().as_secs() {
                start = start.into_iter().chain([starts_at]).min();
            }
        }
        Ok(match start {
            None => Verdict::NotRevoked,
            Some(0) => Verdict::Revoked,
            Some(start) => Verdict::RevokedFrom(UnixTime::from_secs(start)),
        })
    }

    /// Checks whether an answer covers all the data. `before` is the position that was known when the question was
    /// sent.
    async fn check_position(
        &self,
        before: Option<Position>,
        position: Position,
    ) -> Result<Position, Failure> {
        match self.0.known.check(before.as_ref(), &position) {
            Ok(()) => Ok(position),
            Err(Incomplete::Lost(lost)) => {
                // If this fails, the next answer leads to the same check again.
                let removed =
                    self.0.link.send(&remove_generation_command(&self.0.keys, &lost)).await;
                if let Ok(0_u64) = removed {
                    self.0.known.settle(&lost);
                }
                Err(Failure::WentBackwards)
            }
            Err(Incomplete::Overtaken) => Err(Failure::Overtaken),
        }
    }

    /// Reads the current generation and count from Redis.
    pub(super) async fn read_position(&self) -> Result<Position, Failure> {
        self.read_position_over(self.0.link.current().await?).await
    }

    /// The same as [`read_position`](Self::read_position), but only over the connection with this number.
    pub(super) async fn read_position_over(&self, link: u64) -> Result<Position, Failure> {
        let before = self.0.known.latest();
        let command = Position::command(&self.0.keys);
        let reply: PositionReply = self.0.link.send_over(link, &command).await?;
        self.check_position(before, Position::of(&reply)?).await
    }

    /// Identifies the server behind the connection with this number.
    pub(super) async fn server_over(&self, link: u64) -> Result<String, Failure> {
        // All sections: before version 7, Redis takes only one section name.
        let info: String = self.0.link.send_over(link, &::redis::cmd("INFO")).await?;
        server(&info)
    }

    /// Writes entries, only over the connection with this number. Returns the position with which Redis has
    /// acknowledged them. `NotSeeded` means that the entries were written but are not safe: without a generation, no
    /// process would notice if Redis loses them again.
    pub(super) async fn record(
        &self,
        link: u64,
        entries: &[RevocationEntry],
    ) -> Result<Position, Failure> {
        let mut before = self.0.known.latest();
        if before.is_none() {
            // Redis is not seeded, or was seeded just now.
            before = self.read_position_over(link).await.ok();
        }
        let generation = before.as_ref().map(|position| &*position.generation);
        let command = Record::of(&self.0.keys, entries).command(generation);
        let reply: PositionReply = self.0.link.send_over(link, &command).await?;
        // If this process asks next, the acknowledged entries must still be there.
        let position = self.check_position(before, Position::of(&reply)?).await?;
        if let Some(replica_wait) = &self.0.replica_wait {
            replica_wait.confirm(&self.0.keys, position.count).await?;
        }
        Ok(position)
    }
}

impl RevocationStore for RedisStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async move { Ok(self.ask(lookup).await?) })
    }

    /// Fails while Redis has no generation, because it was emptied or is being seeded. The revocation was written
    /// nevertheless, and a seeding keeps it. But no process would notice if Redis loses it before the seeding has
    /// finished. So the store does not acknowledge it: call `revoke` again until it succeeds.
    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let link = self.0.link.current().await?;
            self.record(link, slice::from_ref(entry)).await?;
            Ok(())
        })
    }
}

impl fmt::Debug for RedisStore {
    /// Shows neither the address nor the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.0.keys.prefix)
            .field("is_connected", &self.0.link.is_up())
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Declares that Redis has all revocations, unless that was declared before. Returns whether this call has declared
    /// it.
    ///
    /// Use it to set up a fleet whose only source of truth is Redis. **After a loss of data it declares that the loss
    /// does not matter**: every token whose revocation was lost is accepted again. So a person must decide to call it,
    /// and it must not be in a start-up script. If the source of truth is elsewhere, [`seed`](Self::seed) from there.
    /// If an outbox relay runs, this call is not needed, and the relay seeds nevertheless.
    ///
    /// # Errors
    /// If Redis did not confirm, or is being seeded.
    pub async fn initialise(&self) -> Result<bool, StoreError> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(INITIALISE).arg(2).arg(&self.0.keys.generation).arg(&self.0.keys.seeding);
        command.arg(random()?);
        let outcome: u8 = self.0.link.send(&command).await?;
        if outcome == 2 {
            return Err(Failure::SeedInterrupted.into());
        }
        self.confirm_generation().await?;
        Ok(outcome == 1)
    }

    /// Returns whether lookups are answered: there is a generation, and no data that this process knows was lost.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub async fn is_seeded(&self) -> Result<bool, StoreError> {
        match self.read_position().await {
            Ok(_) => Ok(true),
            Err(Failure::NotSeeded | Failure::WentBackwards) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Writes all revocation entries, and then a new generation. Lookups are answered from then on. The entries that
    /// are already in Redis stay.
    ///
    /// If an outbox relay runs, it finds that Redis has another generation than its store keeps. It removes the new
    /// generation, and lookups fail until the relay has seeded again.
    ///
    /// Read `entries` from their source after this call has begun, for example by a lazy iterator. Revocations that are
    /// made during the call must reach Redis separately, by
    /// [`revoke`](tower_bearer::revocation::RevocationStore::revoke) or the outbox.
    ///
    /// # Errors
    /// If Redis did not confirm every step, lost its data or its connection in between, or is being seeded by another
    /// process.
    pub async fn seed(
        &self,
        entries: impl IntoIterator<Item = RevocationEntry>,
    ) -> Result<(), StoreError> {
        let mut seeding = self.begin_seeding(false).await?.ok_or(Failure::SeedInterrupted)?;
        let mut entries = entries.into_iter();
        loop {
            let batch: Vec<RevocationEntry> = entries.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.seed_batch(&mut seeding, &batch).await?;
        }
        Ok(self.finish_seeding(seeding).await?)
    }

    /// Returns `None` if `only_if_missing` is set and there is a generation, because another process has seeded
    /// already.
    pub(super) async fn begin_seeding(
        &self,
        only_if_missing: bool,
    ) -> Result<Option<Seeding>, Failure> {
        let link = self.0.link.current().await?;
        let seeding = Seeding { token: random()?, batches: 0, link };
        let mut command = ::redis::cmd("EVAL");
        command.arg(BEGIN).arg(2).arg(&self.0.keys.generation).arg(&self.0.keys.seeding);
        command.arg(seeding.value()).arg(SEEDING_SECONDS).arg(u8::from(only_if_missing));
        match self.0.link.send_over(link, &command).await? {
            0_u8 => Ok(None),
            1 => Ok(Some(seeding)),
            _ => Err(Failure::SeedInterrupted),
        }
    }

    pub(super) async fn seed_batch(
        &self,
        seeding: &mut Seeding,
        entries: &[RevocationEntry],
    ) -> Result<(), Failure> {
        let from = seeding.value();
        seeding.batches = seeding.batches.wrapping_add(1);
        let record = Record::of(&self.0.keys, entries);
        let command = record.seed_command(&from, &seeding.value(), SEEDING_SECONDS);
        let goes_on: bool = self.0.link.send_over(seeding.link, &command).await?;
        if goes_on { Ok(()) } else { Err(Failure::SeedInterrupted) }
    }

    pub(super) async fn finish_seeding(&self, seeding: Seeding) -> Result<(), Failure> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(FINISH).arg(2).arg(&self.0.keys.generation).arg(&self.0.keys.seeding);
        command.arg(seeding.value()).arg(&seeding.token);
        let done: bool = self.0.link.send_over(seeding.link, &command).await?;
        if !done {
            return Err(Failure::SeedInterrupted);
        }
        self.confirm_generation().await
    }

    /// Ends this seeding, so that other processes can seed. Does nothing if Redis has another seeding by now.
    pub(super) async fn abandon_seeding(&self, seeding: &Seeding) -> Result<(), Failure> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(ABANDON).arg(1).arg(&self.0.keys.seeding).arg(seeding.value());
        self.0.link.send_over(seeding.link, &command).await
    }

    /// Returns whether Redis has everything up to a position that it had acknowledged, as far as the count and the
    /// stream show. If not, this removes the generation.
    pub(super) async fn still_has(
        &self,
        link: u64,
        acknowledged: Position,
    ) -> Result<bool, Failure> {
        if acknowledged.count == 0 {
            return Ok(true);
        }
        self.remove_generation(link, &Lost(acknowledged)).await.map(|is_removed| !is_removed)
    }

    /// Removes the generation because of a loss, and returns whether it did. Lookups fail from then on.
    pub(super) async fn remove_generation(&self, link: u64, lost: &Lost) -> Result<bool, Failure> {
        self.0.link.send_over(link, &remove_generation_command(&self.0.keys, lost)).await
    }

    /// Remembers the new generation, and waits for replicas if `with_wait` is set.
    async fn confirm_generation(&self) -> Result<(), Failure> {
        let position = self.read_position().await?;
        match &self.0.replica_wait {
            None => Ok(()),
            Some(replica_wait) => replica_wait.confirm(&self.0.keys, position.count).await,
        }
    }
}

/// A seeding in progress: its token will be the generation. Redis keeps the number of written batches beside the token.
/// So a batch that is lost in a failover is noticed, even if the token is not lost.
///
/// Every step uses the connection on which the seeding began. If that connection breaks, the seeding fails, because the
/// server may have lost entries that other processes have recorded since then.
pub(super) struct Seeding {
    /// The generation that the seeding ends with.
    pub(super) token: String,
    batches: u64,
    pub(super) link: u64,
}

impl Seeding {
    fn value(&self) -> String {
        format!("{}:{}", self.token, self.batches)
    }
}

pub(super) fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Failure::NoRandomness)?;
    Ok(hex(&bytes))
}

/// How long a relay keeps the lease without renewing it.
const LEASE: Duration = Duration::from_secs(2);

/// Takes the lease if it is free, or renews it if this owner has it. Returns 1 if the owner has it now.
const HOLD: &str = r"
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Gives the lease up if this owner has it.
const GIVE_UP: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// One relay's claim to the lease of its fleet. The lease expires if it is neither renewed nor given up.
///
/// A lease only saves work. Two relays that both believe they have it record entries twice, which changes nothing.
pub(super) struct Lease(String);

impl Lease {
    pub(super) fn new() -> Result<Self, Failure> {
        random().map(Self)
    }

    /// Takes or renews the lease. Returns `false` if another relay has it.
    pub(super) async fn hold(&self, redis: &RedisStore) -> Result<bool, Failure> {
        let mut command = self.command(HOLD, redis);
        command.arg(LEASE.as_millis().to_string());
        redis.0.link.send(&command).await
    }

    /// Gives the lease up, so that another relay can take it. If that fails, the lease expires.
    pub(super) async fn give_up(&self, redis: &RedisStore) {
        let _: Result<(), Failure> = redis.0.link.send(&self.command(GIVE_UP, redis)).await;
    }

    fn command(&self, script: &str, redis: &RedisStore) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(script).arg(1).arg(format!("{}relay", redis.0.keys.prefix)).arg(&self.0);
        command
    }
}
