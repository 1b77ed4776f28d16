//! The generation: whether what is in Redis is all that was revoked.

use ::redis::Cmd;

use super::{
    RedisStore,
    error::Failure,
    mark::Lost,
    names::{Space, hex, twenty_digits},
    record::Record,
};
use tower_bearer::revocation::{RevocationEntry, StoreError};

/// Denials in one step of seeding.
const BATCH: usize = 500;

/// A seeding that has not come on for so long is over.
const SEEDING_SECONDS: u64 = 30;

/// Removes the generation, unless another has come or the data is right all the same; and with it the seeding that goes on,
/// which may have counted on what was lost.
///
/// A count beyond the one that was known is right only if the stream has that revocation: others may have been recorded since
/// the loss.
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

/// Writes a generation if there is none: 1 if it did. 2 while a seeding goes on, which is not complete yet.
const INITIALISE: &str = r"
if redis.call('GET', KEYS[1]) then return 0 end
if redis.call('GET', KEYS[2]) then return 2 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
";

/// Begins a seeding, unless another goes on: 1 if it did.
const BEGIN: &str = r"
if ARGV[3] == '1' and redis.call('GET', KEYS[1]) then return 0 end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'EX', ARGV[2]) then return 1 end
return 2
";

/// Writes the generation, if the seeding goes on that began with a token and every batch is there.
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
    /// Declares that what is in Redis is all that was revoked, unless that has been declared already; tells whether it
    /// was done now.
    ///
    /// For setting up a fleet whose only truth is Redis. **After a loss of data it declares the loss to be no matter**:
    /// whatever was revoked and is not there any more is good again. So it is somebody's decision, and belongs into no
    /// start-up script. Where the truth is elsewhere, [`seed`](Self::seed) from there. Where an outbox relay runs,
    /// it is not needed, and the relay seeds all the same.
    ///
    /// # Errors
    /// When Redis did not confirm, or is being seeded.
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

    /// Whether look-ups are answered: there is a generation, and nothing that this process knows of was lost.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn is_seeded(&self) -> Result<bool, StoreError> {
        match self.look_at_the_mark().await {
            Ok(_) => Ok(true),
            Err(Failure::NotSeeded | Failure::WentBackwards) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Writes all revocation entries, and then a new generation: look-ups are answered from then on. What is in Redis
    /// already stays.
    ///
    /// If an outbox relay runs, it finds that Redis has another generation than its store keeps. It removes the new
    /// generation, and lookups fail until the relay has seeded again.
    ///
    /// `entries` must be read after this is called. Revocations that are made meanwhile have to reach Redis on their own,
    /// by [`revoke`](tower_bearer::revocation::RevocationStore::revoke) or the outbox.
    ///
    /// # Errors
    /// When Redis did not confirm every step, lost its data or its connection in between, or is being seeded by
    /// somebody else.
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

    /// `None` if `only_if_missing` and there is a generation: somebody else has seeded already.
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

    /// Lets others seed, unless Redis has another seeding by now.
    pub(super) async fn abandon_seeding(&self, seeding: &Seeding) -> Result<(), Failure> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(ABANDON).arg(1).arg(&self.0.space.seeding).arg(seeding.value());
        self.0.link.send_over(seeding.link, &command).await
    }

    /// Whether Redis has everything up to a mark that it had acknowledged, as far as count and stream can tell. If not,
    /// the generation is removed.
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

    /// Removes the generation because of a loss, and tells whether it did. Look-ups fail from then on.
    pub(super) async fn forsake(&self, link: u64, lost: &Lost) -> Result<bool, Failure> {
        self.0.link.send_over(link, &forsaking(&self.0.space, lost)).await
    }

    /// Knows the generation from now on, and waits for replicas where that is asked.
    async fn meet_the_generation(&self) -> Result<(), Failure> {
        let mark = self.look_at_the_mark().await?;
        match &self.0.waiting {
            None => Ok(()),
            Some(waiting) => waiting.confirm(&self.0.space, mark.count).await,
        }
    }
}

/// The command that removes the generation, because data was lost.
pub(super) fn forsaking(space: &Space, Lost(mark): &Lost) -> Cmd {
    let mut command = ::redis::cmd("EVAL");
    command.arg(FORSAKE).arg(4).arg(&space.generation).arg(&space.count);
    command.arg(&space.changes).arg(&space.seeding);
    command.arg(&*mark.generation).arg(twenty_digits(mark.count));
    command.arg(hex(&mark.tip.to_be_bytes())).arg(format!("{}-0", mark.count));
    command
}

/// A seeding that goes on: its token will be the generation. The batches that were written stand beside the token in
/// Redis, so that none can be lost in a failover that the token outlives.
///
/// Every step goes over the connection that it began on. If that breaks, the server may have lost what others have
/// recorded since, so the seeding fails.
pub(super) struct Seeding {
    /// The generation that it ends with.
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
