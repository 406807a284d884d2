//! The memory allocator of every program that links this crate. Decisions, traces and messages are many small
//! pieces of JSON and decimals: with glibc's allocator more than half of the time of pricing a large quote went
//! into `malloc` (`make bench`, C1).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
