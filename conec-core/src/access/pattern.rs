//! Patterns for names and labels.

use std::fmt;

/// Text in which `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Box<str>);

impl Pattern {
    /// Takes visible ASCII characters but those that end a word or a line of rules.
    pub(super) fn new(text: &str) -> Option<Self> {
        let is_right = |it: u8| it.is_ascii_graphic() && !matches!(it, b',' | b'#');
        let is_pattern = !text.is_empty() && text.len() <= MAX_LEN && text.bytes().all(is_right);
        is_pattern.then(|| Self(text.into()))
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.fits_bytes(text.as_bytes())
    }

    /// Goes back to the last `*` only, which suffices: what an earlier one has passed over could be no shorter.
    pub(super) fn fits_bytes(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut in_text) = (0, 0);
        let mut star = None;
        while in_text < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, in_text));
                    at += 1;
                }
                Some(&it) if it == text[in_text] => {
                    at += 1;
                    in_text += 1;
                }
                Some(_) | None => {
                    let Some((star_at, passed)) = star else {
                        return false;
                    };
                    star = Some((star_at, passed + 1));
                    (at, in_text) = (star_at + 1, passed + 1);
                }
            }
        }
        pattern[at..].iter().all(|&it| it == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const MAX_LEN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, fits, fits_not) in [
            ("a", &["a"][..], &["", "b", "aa"][..]),
            ("*", &["", "a", "a.b"], &[]),
            ("a*", &["a", "ab", "a*"], &["", "ba"]),
            ("*a", &["a", "ba", "aa"], &["", "ab"]),
            (
                "a*b*c",
                &["abc", "axbxc", "abbcc", "abcbc"],
                &["ac", "abcd", "bac"],
            ),
            ("*ab*ab*", &["abab", "aabab", "xabxabx"], &["ab", "aba"]),
            ("**", &["", "x"], &[]),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            for text in fits {
                assert!(pattern.fits(text), "{pattern} {text}");
            }
            for text in fits_not {
                assert!(!pattern.fits(text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_pattern_is_something_visible() {
        let long = "a".repeat(MAX_LEN + 1);
        for wrong in ["", "a b", "a,b", "a#b", "\u{fc}", "a\0", &long] {
            assert_eq!(Pattern::new(wrong), None, "{wrong:?}");
        }
        assert!(Pattern::new(&long[1..]).is_some());
    }

    #[test]
    fn what_is_made_to_take_long_does_not() {
        let pattern = Pattern::new(&"*a".repeat(64)).unwrap();
        assert!(!pattern.fits(&"a".repeat(63)));
        assert!(pattern.fits(&"a".repeat(64)));
        assert!(!pattern.fits(&format!("{}b", "a".repeat(100_000))));
    }
}
