//! The generation: whether what is in Redis is all that was revoked.

use super::{Mark, RedisStore, error::Failure, names::twenty_digits, record::Record};
use crate::revocation::{Revocable, StoreError};

/// Denials in one step of seeding.
const BATCH: usize = 500;

/// A seeding that has not come on for so long is over.
const SEEDING_SECONDS: u64 = 30;

/// Removes the generation, unless another has come or the count is right again.
const FORSAKE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local count = redis.call('GET', KEYS[2]) or '0'
if string.rep('0', 20 - string.len(count)) .. count >= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
";

/// Writes the generation, if the seeding goes on that began with a token.
const FINISH: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
";

impl RedisStore {
    /// Declares that what is in Redis is all that was revoked, unless that has been declared already; tells whether it
    /// was done now.
    ///
    /// For setting up a fleet whose only truth is Redis. **After a loss of data it declares the loss to be no matter**:
    /// whatever was revoked and is not there any more is good again. So it is somebody's decision, and belongs into no
    /// start-up script. Where the truth is elsewhere, [`seed`](Self::seed) from there.
    ///
    /// # Errors
    /// When Redis did not confirm.
    pub async fn initialise(&self) -> Result<bool, StoreError> {
        let mut command = ::redis::cmd("SET");
        command.arg(&self.0.space.generation).arg(random()?).arg("NX");
        let done: Option<String> = self.0.link.send(&command).await?;
        Ok(done.is_some())
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

    /// Writes all that is revoked, with the second until which each must be kept, and then a new generation: look-ups
    /// are answered from then on. What is in Redis already stays.
    ///
    /// `denials` must be read after this is called. Revocations that are made meanwhile have to reach Redis on their own,
    /// by [`revoke`](super::super::RevocationStore::revoke) or the outbox.
    ///
    /// # Errors
    /// When Redis did not confirm every step, lost its data in between, or is being seeded by somebody else.
    pub async fn seed(
        &self,
        denials: impl IntoIterator<Item = (Revocable, u64)>,
    ) -> Result<(), StoreError> {
        let seeding = self.begin_seeding().await?;
        let mut denials = denials.into_iter();
        loop {
            let batch: Vec<_> = denials.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.seed_batch(&seeding, &batch).await?;
        }
        Ok(self.finish_seeding(&seeding).await?)
    }

    pub(super) async fn begin_seeding(&self) -> Result<Seeding, Failure> {
        let token = random()?;
        let mut command = ::redis::cmd("SET");
        command.arg(&self.0.space.seeding).arg(&token).arg("NX").arg("EX").arg(SEEDING_SECONDS);
        let done: Option<String> = self.0.link.send(&command).await?;
        done.map(|_| Seeding(token)).ok_or(Failure::SeedInterrupted)
    }

    pub(super) async fn seed_batch(
        &self,
        Seeding(token): &Seeding,
        denials: &[(Revocable, u64)],
    ) -> Result<(), Failure> {
        let record = Record::of(&self.0.space, denials);
        let goes_on: bool = self.0.link.send(&record.seed_command(token, SEEDING_SECONDS)).await?;
        if goes_on { Ok(()) } else { Err(Failure::SeedInterrupted) }
    }

    pub(super) async fn finish_seeding(&self, Seeding(token): &Seeding) -> Result<(), Failure> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(FINISH).arg(2).arg(&self.0.space.generation).arg(&self.0.space.seeding);
        command.arg(token);
        let done: bool = self.0.link.send(&command).await?;
        if done { Ok(()) } else { Err(Failure::SeedInterrupted) }
    }

    /// Tells the fleet that data was lost. Whoever noticed does not depend on it, so it may fail.
    pub(super) async fn forsake(&self, before: &Mark) {
        let mut command = ::redis::cmd("EVAL");
        command.arg(FORSAKE).arg(2).arg(&self.0.space.generation).arg(&self.0.space.count);
        command.arg(&*before.generation).arg(twenty_digits(before.count));
        let _: Result<u64, _> = self.0.link.send(&command).await;
    }
}

/// A seeding that goes on, by its token, which will be the generation.
pub(super) struct Seeding(String);

fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Failure::NoRandomness)?;
    Ok(super::names::Name(bytes).hex())
}
