//! The error type of the bench.

use std::error::Error;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
