//! Remembers what this process has seen in Redis, and checks whether an answer can cover all the data.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::redis::Cmd;

use super::{
    error::Failure,
    names::{self, Space},
};

/// How many replaced generations a process remembers, so that it does not trust them again.
const SUPERSEDED: usize = 16;

/// A state of the data in Redis: its generation, and how many revocations it had. There is no `Debug`, because a reader
/// who knows the generation can sign messages.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) generation: Arc<str>,
    /// How many revocations were recorded.
    pub(super) count: u64,
    /// The hash over all revocations in their order. The same count with a different tip is a different history.
    pub(super) tip: u64,
}

/// The answer of Redis: generation and count. Either may be missing.
pub(super) type MarkReply = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Data was lost. Unless Redis has reached this mark, the generation must be removed.
#[must_use = "the fleet has to be told"]
pub(super) struct Lost(pub(super) Mark);

/// Why an answer is rejected.
pub(super) enum Objection {
    Lost(Lost),
    /// This process learned a new generation after it had sent the question, and the answer has a different one. The
    /// next answer shows which of the two is newer.
    Overtaken,
}

impl Mark {
    /// Returns the command that reads the generation and the count.
    pub(super) fn command(space: &Space) -> Cmd {
        let mut command = ::redis::cmd("MGET");
        command.arg(&space.generation).arg(&space.count);
        command
    }

    pub(super) fn read(generation: Option<&[u8]>, count: Option<&[u8]>) -> Result<Self, Failure> {
        let generation = generation.ok_or(Failure::NotSeeded)?;
        let generation = std::str::from_utf8(generation).map_err(|_| Failure::Unreadable)?;
        let (count, tip) = match count {
            Some(value) => read_count(value)?,
            None => (0, 0),
        };
        Ok(Self { generation: generation.into(), count, tip })
    }

    pub(super) fn of((generation, count): &MarkReply) -> Result<Self, Failure> {
        Self::read(generation.as_deref(), count.as_deref())
    }

    /// Returns a mark that no data can reach.
    pub(super) fn never(generation: &Arc<str>) -> Lost {
        Lost(Self { generation: Arc::clone(generation), count: u64::MAX, tip: 0 })
    }
}

/// Reads the value of the count: a number, a space, and the tip as sixteen hexadecimal digits.
fn read_count(value: &[u8]) -> Result<(u64, u64), Failure> {
    let blank = value.iter().position(|byte| *byte == b' ').ok_or(Failure::Unreadable)?;
    let (number, tip) = value.split_at(blank);
    let tip = tip.get(1..).unwrap_or_default();
    Ok((names::number(number)?, read_tip(tip)?))
}

pub(super) fn read_tip(hex: &[u8]) -> Result<u64, Failure> {
    names::unhex(hex).map(u64::from_be_bytes).ok_or(Failure::Unreadable)
}

/// The latest mark that this process has seen.
#[derive(Default)]
pub(super) struct Seen(Mutex<History>);

#[derive(Default)]
struct History {
    latest: Option<Mark>,
    /// Generations that other ones have replaced. They come back only with old data.
    superseded: VecDeque<Arc<str>>,
    /// The loss that was noticed and is not settled yet. Until it is settled, every answer of that generation with a
    /// different mark is rejected, however high its count is.
    lost: Option<Mark>,
}

impl Seen {
    pub(super) fn mark(&self) -> Option<Mark> {
        self.lock().latest.clone()
    }

    /// Checks whether an answer covers all the data, as far as this process knows, and remembers the mark if it does.
    /// `before` is the latest mark that was known when the question was sent.
    pub(super) fn judge(&self, before: Option<&Mark>, mark: &Mark) -> Result<(), Objection> {
        let mut history = self.lock();
        if history.superseded.contains(&mark.generation) {
            return Err(Objection::Lost(Mark::never(&mark.generation)));
        }
        if let Some(lost) = history.what_it_lacks(before, mark) {
            history.lost = Some(lost.clone());
            return Err(Objection::Lost(Lost(lost)));
        }
        history.note(before, mark)
    }

    /// Remembers a loss that has to be settled, like one that [`judge`](Self::judge) has found.
    pub(super) fn lose(&self, Lost(mark): &Lost) {
        self.lock().lost = Some(mark.clone());
    }

    /// Forgets this loss: Redis has answered that the data was not lost, or that it has another generation by now.
    pub(super) fn settle(&self, Lost(mark): &Lost) {
        let mut history = self.lock();
        if history.lost.as_ref() == Some(mark) {
            history.lost = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// Returns the mark that was known and that the answer lacks.
    fn what_it_lacks(&self, before: Option<&Mark>, mark: &Mark) -> Option<Mark> {
        if let Some(lost) = &self.lost
            && lost.generation == mark.generation
            && lost != mark
        {
            return Some(lost.clone());
        }
        let of_it = |known: &&Mark| known.generation == mark.generation;
        let before = before.filter(of_it);
        let is_other = |known: &&Mark| known.count == mark.count && known.tip != mark.tip;
        let known = before.into_iter().chain(self.latest.as_ref().filter(of_it)).find(is_other);
        known.or(before.filter(|before| mark.count < before.count)).cloned()
    }

    fn note(&mut self, before: Option<&Mark>, mark: &Mark) -> Result<(), Objection> {
        match &mut self.latest {
            // Answers may arrive out of order.
            Some(latest) if latest.generation == mark.generation => {
                if latest.count < mark.count {
                    *latest = mark.clone();
                }
            }
            Some(latest) if before.is_none_or(|before| before.generation != latest.generation) => {
                return Err(Objection::Overtaken);
            }
            latest => {
                if let Some(superseded) = latest.replace(mark.clone()) {
                    self.superseded.push_back(superseded.generation);
                    if SUPERSEDED < self.superseded.len() {
                        self.superseded.pop_front();
                    }
                }
            }
        }
        self.lost = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(generation: &str, count: u64, tip: u64) -> Mark {
        Mark { generation: generation.into(), count, tip }
    }

    fn judge(seen: &Seen, mark: &Mark) -> Result<(), Mark> {
        seen.judge(seen.mark().as_ref(), mark).map_err(|objection| match objection {
            Objection::Lost(Lost(mark)) => mark,
            Objection::Overtaken => panic!("asked under the latest"),
        })
    }

    #[test]
    fn a_loss_is_not_forgotten_when_the_count_has_gone_beyond_it() {
        let seen = Seen::default();
        let (known, beyond) = (mark("g", 10, 100), mark("g", 12, 121));
        assert!(judge(&seen, &known).is_ok());
        assert!(judge(&seen, &mark("g", 9, 90)).is_err());
        for _ in 0..2 {
            assert!(judge(&seen, &beyond).is_err_and(|lost| lost == known));
        }
        seen.settle(&Lost(known));
        assert!(judge(&seen, &beyond).is_ok(), "Redis said that it was there");

        seen.lose(&Mark::never(&"g".into()));
        assert!(judge(&seen, &beyond).is_err());
        assert!(judge(&seen, &mark("h", 0, 0)).is_ok(), "seeded again");
    }

    #[test]
    fn a_generation_that_is_met_late_takes_the_place_of_no_newer_one() {
        let seen = Seen::default();
        let asked = seen.mark();
        assert!(judge(&seen, &mark("new", 0, 0)).is_ok());
        let late = seen.judge(asked.as_ref(), &mark("old", 0, 0));
        assert!(matches!(late, Err(Objection::Overtaken)));
        assert!(judge(&seen, &mark("new", 1, 10)).is_ok());
    }

    #[test]
    fn a_count_is_read_with_its_tip() {
        let read = |count: Option<&str>| {
            let mark = Mark::read(Some(b"g"), count.map(str::as_bytes)).ok()?;
            Some((mark.count, mark.tip))
        };
        assert_eq!(read(None), Some((0, 0)));
        assert_eq!(read(Some("7 00000000000000ff")), Some((7, 255)));
        for count in ["", "7", "7 ", " ", "x 00000000000000ff", "7 ff", "-1 00000000000000ff"] {
            assert_eq!(read(Some(count)), None, "{count}");
        }
        assert!(Mark::read(None, Some(b"7 00000000000000ff")).is_err());
        assert!(Mark::read(Some(b"\xff"), None).is_err());
    }

    #[test]
    fn fewer_revocations_than_there_were_are_lost_data() {
        let seen = Seen::default();
        assert!(judge(&seen, &mark("g", 5, 50)).is_ok());
        assert!(judge(&seen, &mark("g", 5, 50)).is_ok());
        assert!(judge(&seen, &mark("g", 6, 60)).is_ok());
        assert!(judge(&seen, &mark("g", 5, 50)).is_err_and(|lost| lost == mark("g", 6, 60)));
        assert!(judge(&seen, &mark("g", 6, 61)).is_err_and(|lost| lost == mark("g", 6, 60)));
        assert!(judge(&seen, &mark("g", 6, 60)).is_ok(), "what is right again");
    }

    #[test]
    fn an_answer_that_was_overtaken_is_believed_and_forgotten() {
        let seen = Seen::default();
        assert!(judge(&seen, &mark("g", 5, 50)).is_ok());
        let before = seen.mark();
        assert!(judge(&seen, &mark("g", 9, 90)).is_ok());
        assert!(seen.judge(before.as_ref(), &mark("g", 7, 70)).is_ok());
        assert!(seen.mark() == Some(mark("g", 9, 90)));
        assert!(seen.judge(before.as_ref(), &mark("g", 9, 91)).is_err());
    }

    #[test]
    fn a_generation_that_was_followed_by_another_is_not_believed_again() {
        let seen = Seen::default();
        for number in 0..=SUPERSEDED {
            assert!(judge(&seen, &mark(&format!("g{number}"), 0, 0)).is_ok());
        }
        for number in 0..SUPERSEDED {
            let old = judge(&seen, &mark(&format!("g{number}"), 1_000, 0));
            assert!(old.is_err_and(|lost| lost.count == u64::MAX), "{number}");
        }
        assert!(judge(&seen, &mark(&format!("g{SUPERSEDED}"), 0, 0)).is_ok());
    }
}
