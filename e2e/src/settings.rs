//! Where the running stack is, as its environment says (`. .stack/env`).

use std::path::PathBuf;

/// A variable that the stack's environment sets.
pub fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run through `make`, or `. .stack/env` first"))
}

/// The folder of this repository.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A built program beside this one (or beside the folder of test programs).
pub fn program(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let folders = own.ancestors().skip(1).take(2);
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("the program `{name}` is not built: cargo build --workspace --bins"))
}

/// A variable that may be set to change how much is done.
pub fn number(name: &str, default: usize) -> Result<usize, String> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => text.parse().map_err(|_| format!("{name} is '{text}'; expected a whole number")),
    }
}
