//! Reads the messages of one push connection, and notices messages that are missing.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use ::redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    message::Message,
    pushes::{Counters, Listener},
};
use crate::telemetry;

/// How often the connection is checked and the count is compared.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The cache is gone, so no messages are needed any more.
pub(super) struct Over;

/// Reads the messages of one connection.
///
/// The numbers in messages are not signed. So a forged number can cause a doubt and nothing else, and only once between
/// two heartbeats.
pub(super) struct Reading<'a> {
    listener: &'a Listener,
    counters: &'a Counters,
    /// The number of the store's connection when this connection was made.
    link: Option<u64>,
    /// The generation and the number up to which all messages have arrived. `None` before the first message or
    /// heartbeat.
    last: Option<(Arc<str>, u64)>,
    /// The value of `last` at the previous heartbeat.
    last_at_beat: Option<(Arc<str>, u64)>,
    /// A message could not be read before there was a number to compare with. So it is not known whether a revocation
    /// is missing.
    is_unsure: bool,
    /// There was a doubt since the previous heartbeat. A further one has to wait for the next heartbeat, see
    /// `owes_a_doubt`.
    has_doubted: bool,
    owes_a_doubt: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(listener: &'a Listener, counters: &'a Counters, link: Option<u64>) -> Self {
        Self {
            listener,
            counters,
            link,
            last: None,
            last_at_beat: None,
            is_unsure: false,
            has_doubted: false,
            owes_a_doubt: false,
        }
    }

    pub(super) async fn read(
        &mut self,
        sink: &mut PubSubSink,
        stream: &mut PubSubStream,
    ) -> Result<(), Over> {
        let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Heartbeats come first, however many messages there are.
                biased;
                _ = beats.tick() => {
                    if !self.beat(sink, stream).await? {
                        return Ok(());
                    }
                }
                message = stream.next() => match message {
                    Some(message) => self.take(&message)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Returns whether the connection still works and belongs to the same connection of the store. Compares the count
    /// in Redis with the messages that have arrived.
    async fn beat(
        &mut self,
        sink: &mut PubSubSink,
        stream: &mut PubSubStream,
    ) -> Result<bool, Over> {
        if !self.listener.cache.is_alive() {
            return Err(Over);
        }
        let store = &self.listener.store;
        let mark = store.look_at_the_mark().await;
        let link = store.0.link.number();
        if link.is_some() && link != self.link {
            return Ok(false);
        }
        if self.listener.confirm(sink).await.is_err() {
            return Ok(false);
        }
        while let Some(Some(message)) = stream.next().now_or_never() {
            self.take(&message)?;
        }
        let owes_a_doubt = std::mem::take(&mut self.owes_a_doubt);
        self.has_doubted = false;
        if let Ok(mark) = mark {
            self.compare(mark.generation, mark.count)?;
        }
        if owes_a_doubt && !self.has_doubted {
            self.missed()?;
        }
        Ok(true)
    }

    /// Compares the messages that have arrived with the count of Redis. That count was read before the confirmation
    /// that all earlier messages have arrived.
    fn compare(&mut self, generation: Arc<str>, count: u64) -> Result<(), Over> {
        let of_it = |last: &Option<(Arc<str>, u64)>| {
            last.as_ref().filter(|(of, _)| *of == generation).map(|(_, number)| *number)
        };
        let is_new = self.last.is_none();
        let (last, before) = (of_it(&self.last), of_it(&self.last_at_beat));
        let arrived = match last {
            // A number that arrived a heartbeat ago and that Redis has not counted by now was forged.
            Some(_) if before.is_some_and(|before| count < before) => None,
            Some(last) if last < count => None,
            last => last,
        };
        let is_missing = arrived.is_none() && (!is_new || self.is_unsure);
        self.last = Some((generation, arrived.unwrap_or(count)));
        self.last_at_beat.clone_from(&self.last);
        self.is_unsure = false;
        if is_missing { self.missed() } else { Ok(()) }
    }

    fn take(&mut self, message: &Msg) -> Result<(), Over> {
        let Some(mark) = self.listener.store.0.seen.mark() else {
            return self.could_not_read();
        };
        let generation = mark.generation;
        let Ok((number, message)) = Message::read(message.get_payload_bytes(), &generation) else {
            return self.could_not_read();
        };
        let follows = match &self.last {
            None => true,
            Some((of, last)) => *of == generation && number == last.wrapping_add(1),
        };
        let is_older =
            self.last.as_ref().is_some_and(|(of, last)| *of == generation && number <= *last);
        if !is_older {
            self.last = Some((generation, number));
        }
        if !self.listener.cache.apply(&message.entry()) {
            return Err(Over);
        }
        self.counters.received.fetch_add(1, Relaxed);
        if follows { Ok(()) } else { self.missed() }
    }

    fn could_not_read(&mut self) -> Result<(), Over> {
        self.counters.unreadable.fetch_add(1, Relaxed);
        self.is_unsure |= self.last.is_none();
        if self.listener.cache.is_alive() { Ok(()) } else { Err(Over) }
    }

    fn missed(&mut self) -> Result<(), Over> {
        if self.has_doubted {
            self.owes_a_doubt = true;
            return Ok(());
        }
        self.has_doubted = true;
        self.counters.gaps.fetch_add(1, Relaxed);
        telemetry::pushes_missed();
        if self.listener.cache.doubt() { Ok(()) } else { Err(Over) }
    }
}
