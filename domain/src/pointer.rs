//! JSON pointers (RFC 6901) to fields at fault.

/// One reference token: `~` and `/` escaped.
pub fn token(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_token_escapes_tilde_before_slash() {
        assert_eq!(super::token("a/b~c~1"), "a~1b~0c~01");
    }
}
