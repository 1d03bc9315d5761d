//! Text of others on a terminal.

/// Text in which nothing moves the cursor or changes colours: what is no text is shown as such.
pub(super) fn clean(bytes: &[u8]) -> String {
    let mut clean = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '\n' | '\t' => clean.push(character),
            it if it.is_control() => clean.extend(it.escape_default()),
            it => clean.push(it),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_shown_and_not_done() {
        assert_eq!(clean("grüße,\ta\nb".as_bytes()), "grüße,\ta\nb");
        assert_eq!(clean(b"\x1b[31mred\r"), "\\u{1b}[31mred\\r");
        assert_eq!(clean(&[b'a', 0xff]), "a\u{fffd}");
    }
}
