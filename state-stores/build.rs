//! A new migration is a new build: the macro that takes them in does not notice files that come.
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
