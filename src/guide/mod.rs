//! The guide: prose beside the reference. Nothing in it can be called.
//!
//! | | |
//! |---|---|
//! | [`defaults`] | every setting: what it is if you say nothing, and why |
//! | [`threats`] | attack by attack: the answer, and the test that shows it |
//! | [`revocation`] | what a revocation promises, how the three modes keep it, and what they cost |
//! | [`revocation_store`] | your own revocation store: its rules, dates, streams, and the conformance suite |
//! | [`how_to`] | WebSockets, GraphQL, tests without tokens, tenants, policies by route, and moving here from elsewhere |
//!
//! The repository also has `DESIGN.md` (why it is built so), `COMPARE.md` (what others do, and do better),
//! `SECURITY.md` (what is promised, and what is not) and `CONTRIBUTING.md` (how each claim is checked).
//!
//! What happens to a request, from the outside in:
//!
//! ```text
//!   request
//!      │
//!      ▼
//!   credential      exactly one, or: none 401 · two or malformed 400 · cookie from another site 403
//!      │
//!      ▼
//!   seen before? ── yes ──► key still there? times still right? checks?  ──┐
//!      │ no                                                                │
//!      ▼                                                                   │
//!   verifier        bytes, header, issuer, key, signature, claims: 401     │
//!      │            a key that is not there yet: wait, 401 or 503          │
//!      ▼                                                                   │
//!   revocation  ◄──────────────────────────────────────────────────────────┘
//!      │            revoked: 401 · nobody can tell: 503
//!      ▼
//!   asynchronous checks    401 or 503
//!      │
//!      ▼
//!   Authenticated<C> in the extensions
//!      │
//!      ▼
//!   require_scopes, require    403
//!      │
//!      ▼
//!   your service
//! ```

pub mod defaults;
pub mod how_to;
pub mod revocation;
pub mod revocation_store;
pub mod threats;
