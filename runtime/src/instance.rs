//! The name of this process among all that run: in leases, positions, engine workers and logs.

/// `<service>-<host>-<pid>-<random>`: no two processes ever share one, not even one after the other.
pub fn name(service: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "host" } else { host };
    format!("{service}-{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_names_are_equal() {
        assert_ne!(super::name("streams"), super::name("streams"));
    }
}
