//! What this process knows to be revoked or in doubt, and how that reaches requests.

use super::{
    Lookup, Revocable, RevocationEntry, TokenFacts, Verdict,
    cached_answer::CachedAnswer,
    denials::Denials,
    pending::Pending,
    sync::{AtomicU64, Ordering},
};
use crate::{UnixTime, claims::Clock};

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
/// is the answer of a request that ran beside the revocation, before [`LocalState::apply`] returned.
///
/// An entry that **starts in the future** is published when its start has come, by the first request that needs it
/// ([`LocalState::start_due`]), which loads the epoch afterwards. `next`, the earliest start, is stored only after the
/// publication. So a request at the start or later does one of three things: it publishes the entry, it waits for the
/// lock of whoever does, or it loads a later `next` and thereby acquires the publication. What was published stays,
/// even if the wall clock is set back.
///
/// `looked` is compared and raised without ordering of its own: the invariant is about the number, whoever
/// wrote it, and a reader's view of the denials comes from the epoch that it loaded itself.
pub(super) struct LocalState {
    epoch: AtomicU64,
    /// Answers to questions that were sent in an earlier epoch than this are stale.
    trusted_from: AtomicU64,
    denials: Denials,
    pending: Pending,
}

impl LocalState {
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

    /// Publishes an entry: now, or when its start has come.
    pub(super) fn apply(&self, entry: &RevocationEntry, clock: &dyn Clock) {
        if entry.starts_at() == UnixTime::EPOCH || entry.starts_at() <= clock.now() {
            self.deny(entry.thing(), entry.cut_off(), entry.obsolete_after(), clock);
        } else if entry.starts_at() <= entry.obsolete_after() {
            self.pending.insert(entry);
        }
    }

    fn deny(
        &self,
        thing: &Revocable,
        cut_off: UnixTime,
        obsolete_after: UnixTime,
        clock: &dyn Clock,
    ) {
        self.denials.insert(thing, cut_off, obsolete_after, clock);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes the denials whose start has come.
    #[inline]
    pub(super) fn start_due(&self, clock: &dyn Clock) {
        let next = self.pending.next();
        if next == UnixTime::MAX {
            return;
        }
        let now = clock.now();
        if next <= now {
            // Only tokens start later, and they have no cut-off.
            self.pending.publish_due(now, |thing, obsolete_after| {
                self.deny(thing, UnixTime::MAX, obsolete_after, clock);
            });
        }
    }

    /// Publishes a doubt about every question that was sent before this call.
    pub(super) fn doubt(&self) {
        let next = self.epoch().wrapping_add(1);
        self.trusted_from.fetch_max(next, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// The verdict on a token without a lookup, by a fresh answer if there is one. `None`: the store has to be asked.
    /// `epoch` was loaded before the answer was looked for.
    ///
    /// The order of the lines is the argument above.
    #[inline]
    pub(super) fn judge(
        &self,
        epoch: u64,
        answer: Option<&CachedAnswer>,
        token: &TokenFacts<'_>,
        clock: &dyn Clock,
    ) -> Option<Verdict> {
        if answer.is_some_and(|answer| answer.looked() >= epoch) {
            return Some(Verdict::NotRevoked);
        }
        if self.denials.refuse(token, clock) {
            return Some(Verdict::Revoked);
        }
        if let Some(answer) = answer
            && self.is_trusted(answer.sent.epoch)
        {
            answer.look(epoch);
            return Some(Verdict::NotRevoked);
        }
        None
    }

    /// The verdict on what a store is asked about.
    pub(super) fn look_up(&self, lookup: &Lookup, clock: &dyn Clock) -> Verdict {
        self.start_due(clock);
        if self.denials.refuse_lookup(lookup, clock) {
            return Verdict::Revoked;
        }
        Verdict::starting_at(self.pending.start_of(lookup), clock.now())
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
