//! Prints the public API of a crate, one item a line, from the JSON that rustdoc wrote of it.
//!
//! 1. Implementations for every type (`impl<T> From<T> for T`) are left out.
//! 2. Of a derived implementation its first line stands for its methods.
//! 3. Of the auto traits there are those that a caller's bounds name; the others come and go with the compiler.

use std::{collections::HashSet, env, error::Error, path::Path};

use public_api::{Builder, PublicApi};

const AUTO_TRAITS: [&str; 3] = ["Send", "Sync", "Unpin"];

fn main() -> Result<(), Box<dyn Error>> {
    let json = env::args_os().nth(1).ok_or("the file that rustdoc wrote is missing")?;
    let everything = read(json.as_ref(), false)?;
    let by_hand: HashSet<String> = lines(&read(json.as_ref(), true)?).collect();
    for line in lines(&everything) {
        let shown = if is_auto_trait(&line) {
            AUTO_TRAITS.iter().any(|name| line.contains(&format!("core::marker::{name} for ")))
        } else {
            by_hand.contains(&line) || line.starts_with("impl")
        };
        if shown {
            println!("{line}");
        }
    }
    Ok(())
}

fn read(json: &Path, without_derived: bool) -> Result<PublicApi, public_api::Error> {
    Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_derived_impls(without_derived)
        .build()
}

fn lines(api: &PublicApi) -> impl Iterator<Item = String> {
    api.items().map(ToString::to_string)
}

fn is_auto_trait(line: &str) -> bool {
    let marker = ["Send", "Sync", "Unpin", "Freeze", "UnsafeUnpin"]
        .iter()
        .any(|name| line.contains(&format!("core::marker::{name} for ")));
    line.starts_with("impl") && (marker || line.contains("core::panic::unwind_safe::"))
}
