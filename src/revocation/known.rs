//! What this process knows to be revoked or in doubt, and how that reaches requests.

use super::{
    RETENTION_MARGIN, Revocable, TokenFacts,
    dated::DatedAnswer,
    denials::Denials,
    pending::Pending,
    sync::{AtomicU64, Ordering},
};
use crate::claims::Clock;

/// Denials and doubts, numbered by an epoch.
///
/// To **publish** is to write first (a denial into the map, or the doubt's epoch) and then to count the
/// epoch up. A **reader** loads the epoch first and looks at what is published afterwards. So whoever loads
/// an epoch sees everything that was published up to it: the load acquires what each count released, and
/// counts are read-modify-writes, which hand on what earlier ones released.
///
/// A remembered "not revoked" carries `looked`, an epoch. **Invariant: if `looked` is `n` or more, nothing
/// that was published up to `n` concerns that answer.** It gets there in two ways only:
///
/// * *A look-up*: the epoch is loaded, no denial is found, then the store is asked, and the answer gets that
///   epoch, not the one at the time of its arrival. No doubt up to that epoch concerns it, because it was
///   sent after it.
/// * *A hit with an older epoch*: the epoch is loaded, no denial is found, no doubt is found that is later
///   than the sending, and then the answer's epoch is raised to the one that was loaded.
///
/// Therefore a hit compares two numbers: `looked >= epoch` means that there is nothing to look for.
///
/// After a revocation has been published as `n`, a request that starts later loads `n` or more. Every
/// answer about a token that it concerns has `looked < n`: by the invariant, for ever and whatever
/// interleaving wrote it, including the look-up that was under way (it carries the epoch of its start) and
/// the reader that came between the map and the count (it loaded an epoch below `n`, and can raise no answer
/// above that). So the request looks at the denials and finds it. What such an early reader answers itself
/// is the answer of a request that ran beside the revocation, before [`Known::deny`] returned.
///
/// An entry that **starts in the future** is published when its start has come, by the first request that needs it
/// ([`Known::start_due`]), which loads the epoch afterwards. `next`, the earliest start, is stored only after the
/// publication. So a request at the start or later does one of three things: it publishes the entry, it waits for the
/// lock of whoever does, or it loads a later `next` and thereby acquires the publication. What was published stays,
/// even if the wall clock is set back.
///
/// `looked` is compared and raised without ordering of its own: the invariant is about the number, whoever
/// wrote it, and a reader's view of the denials comes from the epoch that it loaded itself.
pub(super) struct Known {
    epoch: AtomicU64,
    /// Answers to questions that were sent in an earlier epoch than this are stale.
    trusted_from: AtomicU64,
    denials: Denials,
    pending: Pending,
}

/// What this process can tell about a token on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Revoked,
    /// By the answer that is remembered.
    NotRevoked,
    /// The store has to be asked.
    Open,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            trusted_from: AtomicU64::new(0),
            denials: Denials::new(),
            pending: Pending::new(),
        }
    }

    /// To be loaded before anything else is looked at, but after [`start_due`](Self::start_due).
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Publishes a denial.
    pub(super) fn deny(&self, what: &Revocable, keep_until: u64, clock: &dyn Clock) {
        self.denials.insert(what, keep_until, clock);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes a denial when the Unix second `starts_at` has come.
    pub(super) fn deny_from(
        &self,
        what: &Revocable,
        starts_at: u64,
        keep_until: u64,
        clock: &dyn Clock,
    ) {
        if starts_at <= clock.unix_time().as_secs() {
            self.deny(what, keep_until, clock);
        } else if starts_at <= keep_until {
            self.pending.insert(what, starts_at, keep_until);
        }
    }

    /// Publishes the denials whose start has come.
    #[inline]
    pub(super) fn start_due(&self, clock: &dyn Clock) {
        let next = self.pending.next();
        if next == u64::MAX {
            return;
        }
        let now = clock.unix_time().as_secs();
        if next <= now {
            self.pending.publish_due(now, |what, keep_until| self.deny(what, keep_until, clock));
        }
    }

    /// Publishes a doubt about every question that was sent before this call.
    pub(super) fn doubt(&self) {
        let next = self.epoch().wrapping_add(1);
        self.trusted_from.fetch_max(next, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// What is known about a token, by a fresh answer if there is one. `epoch` was loaded before the answer was looked
    /// for.
    ///
    /// The order of the lines is the argument above.
    #[inline]
    pub(super) fn judge(
        &self,
        epoch: u64,
        answer: Option<&DatedAnswer>,
        token: &TokenFacts<'_>,
        clock: &dyn Clock,
    ) -> Judgement {
        if answer.is_some_and(|answer| answer.looked() >= epoch) {
            return Judgement::NotRevoked;
        }
        if self.denials.refuse(token, clock) {
            return Judgement::Revoked;
        }
        if let Some(answer) = answer
            && self.is_trusted(answer.sent.epoch)
        {
            answer.look(epoch);
            return Judgement::NotRevoked;
        }
        Judgement::Open
    }

    pub(super) fn refuse(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
        self.start_due(clock);
        self.denials.refuse(token, clock)
    }

    /// Whether a question that was sent in `epoch` was sent after the last doubt.
    pub(super) fn is_trusted(&self, epoch: u64) -> bool {
        epoch >= self.trusted_from.load(Ordering::Acquire)
    }

    pub(super) fn denials(&self) -> usize {
        self.denials.len() + self.pending.len()
    }
}

/// Until when a revocation is kept, given the latest `exp` of the tokens concerned: past every leeway, and a
/// minute for the verification to have happened a little earlier.
pub(super) fn keep_until(expires_at: u64) -> u64 {
    expires_at.saturating_add(RETENTION_MARGIN.as_secs())
}
