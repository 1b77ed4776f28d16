//! What the recorder of `metrics` is told: by a recorder of each test's own.

mod issuing;
mod keys;
mod recording;
mod requests;
mod revocation;
mod status_lists;
