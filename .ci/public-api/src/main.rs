//! Prints the public API of a crate, one item per line, from the JSON of rustdoc.
//!
//! 1. It leaves out implementations for every type (`impl<T> From<T> for T`).
//! 2. It prints only the first line of a derived implementation, without the methods.
//! 3. It prints only the auto traits that callers use in bounds. The others change with the compiler.

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
