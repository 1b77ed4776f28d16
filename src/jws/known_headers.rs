//! Remembers the protected headers of verified tokens, for the verifier: an issuer writes the same few headers again
//! and again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::{ArcSwap, Guard};

use super::Header;

/// The number of remembered headers. They are compared one by one.
const CAPACITY: usize = 16;

/// If the list is full, one in this many verified tokens with an unknown header replaces the oldest header. So headers
/// of rotated keys get a place, and more headers than fit do not rewrite the list at every request.
const PATIENCE: usize = 1_024;

/// Remembers parsed headers by their encoded bytes.
///
/// Parsing a header is a pure function of its bytes, so a remembered header equals a header that is parsed again. The
/// key set still decides each time which keys a header means. Only headers under a verified signature are remembered,
/// so an attacker without a key cannot fill the list.
pub(crate) struct KnownHeaders {
    list: ArcSwap<Vec<Arc<KnownHeader>>>,
    unknown: AtomicUsize,
}

struct KnownHeader {
    encoded: Box<[u8]>,
    header: Header<'static>,
}

/// The list at one moment.
pub(crate) struct Snapshot(Guard<Arc<Vec<Arc<KnownHeader>>>>);

impl KnownHeaders {
    pub(crate) fn new() -> Self {
        Self { list: ArcSwap::default(), unknown: AtomicUsize::new(0) }
    }

    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.list.load())
    }

    /// Remembers a header that was not in the list. Call it after the token's signature is verified.
    pub(crate) fn remember(&self, encoded: &[u8], header: &Header<'_>) {
        let unknown = self.unknown.fetch_add(1, Ordering::Relaxed);
        if self.list.load().len() >= CAPACITY && !unknown.is_multiple_of(PATIENCE) {
            return;
        }
        let known = Arc::new(KnownHeader { encoded: encoded.into(), header: header.to_static() });
        self.list.rcu(|list| {
            let others = list.iter().filter(|other| other.encoded != known.encoded);
            let kept = others.take(CAPACITY - 1).map(Arc::clone);
            std::iter::once(Arc::clone(&known)).chain(kept).collect::<Vec<_>>()
        });
    }
}

impl Snapshot {
    pub(crate) fn find(&self, encoded: &[u8]) -> Option<&Header<'static>> {
        self.0.iter().find(|known| *known.encoded == *encoded).map(|known| &known.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(headers: &KnownHeaders, key_id: &str) {
        let json = format!("{{\"alg\":\"HS256\",\"kid\":\"{key_id}\"}}");
        headers.remember(key_id.as_bytes(), &Header::parse(json.as_bytes()).unwrap());
    }

    fn knows(headers: &KnownHeaders, key_id: &str) -> bool {
        let list = headers.load();
        let found = list.find(key_id.as_bytes());
        found.is_some_and(|header| header.key_id() == Some(key_id))
    }

    #[test]
    fn what_was_remembered_is_found_by_exactly_its_bytes() {
        let headers = KnownHeaders::new();
        assert!(!knows(&headers, "a"));
        remember(&headers, "a");
        remember(&headers, "a");
        assert!(knows(&headers, "a") && !knows(&headers, "") && !knows(&headers, "aa"));
        assert_eq!(headers.load().0.len(), 1);
    }

    #[test]
    fn a_full_list_takes_a_new_header_now_and_then_in_place_of_the_oldest() {
        let headers = KnownHeaders::new();
        for number in 0..CAPACITY {
            remember(&headers, &number.to_string());
        }
        for _ in CAPACITY..PATIENCE {
            remember(&headers, "new");
        }
        assert!(!knows(&headers, "new") && knows(&headers, "0"));
        remember(&headers, "new");
        assert!(knows(&headers, "new") && !knows(&headers, "0") && knows(&headers, "1"));
        assert_eq!(headers.load().0.len(), CAPACITY);
    }
}
