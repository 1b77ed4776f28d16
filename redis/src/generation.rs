//! The generation: a random value in Redis which shows that Redis has all revocations.

use ::redis::Cmd;

use super::{
    RedisStore,
    error::Failure,
    mark::Lost,
    names::{Space, hex, twenty_digits},
    record::Record,
};
use tower_bearer::revocation::{RevocationEntry, StoreError};

/// How many revocation entries one step of a seeding writes.
const BATCH: usize = 500;

/// A seeding without progress for this long is over.
const SEEDING_SECONDS: u64 = 30;

/// Removes the generation, and any seeding in progress, because that seeding may have relied on the lost data. Does
/// nothing if Redis has another generation by now, or if the data is complete.
///
/// If the count is higher than the known one, the data is complete only if the stream has the known revocation, because
/// other revocations may have been recorded since the loss.
const FORSAKE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local count, tip = string.match(redis.call('GET', KEYS[2]) or '0 ', '^(%d+) (%x*)$')
if count then
  count = string.rep('0', 20 - string.len(count)) .. count
  if count == ARGV[2] and tip == ARGV[3] then return 0 end
  if count > ARGV[2] then
    local entry = redis.call('XRANGE', KEYS[3], ARGV[4], ARGV[4])[1]
    if entry and entry[2][6] == ARGV[3] then return 0 end
  end
end
redis.call('DEL', KEYS[4])
return redis.call('DEL', KEYS[1])
";

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
        command.arg(INITIALISE).arg(2).arg(&self.0.space.generation).arg(&self.0.space.seeding);
        command.arg(random()?);
        let outcome: u8 = self.0.link.send(&command).await?;
        if outcome == 2 {
            return Err(Failure::SeedInterrupted.into());
        }
        self.meet_the_generation().await?;
        Ok(outcome == 1)
    }

    /// Returns whether lookups are answered: there is a generation, and no data that this process knows was lost.
    ///
    /// # Errors
    /// If Redis cannot be asked.
    pub async fn is_seeded(&self) -> Result<bool, StoreError> {
        match self.look_at_the_mark().await {
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
        command.arg(BEGIN).arg(2).arg(&self.0.space.generation).arg(&self.0.space.seeding);
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
        let record = Record::of(&self.0.space, entries);
        let command = record.seed_command(&from, &seeding.value(), SEEDING_SECONDS);
        let goes_on: bool = self.0.link.send_over(seeding.link, &command).await?;
        if goes_on { Ok(()) } else { Err(Failure::SeedInterrupted) }
    }

    pub(super) async fn finish_seeding(&self, seeding: Seeding) -> Result<(), Failure> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(FINISH).arg(2).arg(&self.0.space.generation).arg(&self.0.space.seeding);
        command.arg(seeding.value()).arg(&seeding.token);
        let done: bool = self.0.link.send_over(seeding.link, &command).await?;
        if !done {
            return Err(Failure::SeedInterrupted);
        }
        self.meet_the_generation().await
    }

    /// Ends this seeding, so that other processes can seed. Does nothing if Redis has another seeding by now.
    pub(super) async fn abandon_seeding(&self, seeding: &Seeding) -> Result<(), Failure> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(ABANDON).arg(1).arg(&self.0.space.seeding).arg(seeding.value());
        self.0.link.send_over(seeding.link, &command).await
    }

    /// Returns whether Redis has everything up to a mark that it had acknowledged, as far as the count and the stream
    /// show. If not, this removes the generation.
    pub(super) async fn still_has(
        &self,
        link: u64,
        acknowledged: super::mark::Mark,
    ) -> Result<bool, Failure> {
        if acknowledged.count == 0 {
            return Ok(true);
        }
        self.forsake(link, &Lost(acknowledged)).await.map(|is_removed| !is_removed)
    }

    /// Removes the generation because of a loss, and returns whether it did. Lookups fail from then on.
    pub(super) async fn forsake(&self, link: u64, lost: &Lost) -> Result<bool, Failure> {
        self.0.link.send_over(link, &forsaking(&self.0.space, lost)).await
    }

    /// Remembers the new generation, and waits for replicas if `with_wait` is set.
    async fn meet_the_generation(&self) -> Result<(), Failure> {
        let mark = self.look_at_the_mark().await?;
        match &self.0.waiting {
            None => Ok(()),
            Some(waiting) => waiting.confirm(&self.0.space, mark.count).await,
        }
    }
}

/// Returns the command that removes the generation because data was lost.
pub(super) fn forsaking(space: &Space, Lost(mark): &Lost) -> Cmd {
    let mut command = ::redis::cmd("EVAL");
    command.arg(FORSAKE).arg(4).arg(&space.generation).arg(&space.count);
    command.arg(&space.changes).arg(&space.seeding);
    command.arg(&*mark.generation).arg(twenty_digits(mark.count));
    command.arg(hex(&mark.tip.to_be_bytes())).arg(format!("{}-0", mark.count));
    command
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
