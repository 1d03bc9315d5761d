//! Names from elsewhere, made safe for here.

/// Unfinished files are called like that in the end.
pub(super) const PART: &str = ".conec-part";
/// What is known of them.
const NOTES: &str = ".json";
/// What file systems take.
const MOST: usize = 255;

/// A name that stays within its folder on every system, is no device, does not pretend to be another, and can be shown. What is fine is
/// left as it is.
pub(super) fn safe(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|it| if is_unsafe(it) { '_' } else { it })
        .collect();
    if cfg!(windows) {
        let kept = safe.trim_end_matches(['.', ' ']).len();
        safe = safe[..kept].to_owned() + &"_".repeat(safe.len() - kept);
    }
    if safe.chars().all(|it| matches!(it, '.' | ' ')) {
        safe = "_".repeat(safe.len().max(1));
    }
    if is_device(&safe) {
        safe.insert(0, '_');
    }
    let lower = safe.to_ascii_lowercase();
    if lower.ends_with(PART) || lower.contains(&format!("{PART}{NOTES}")) {
        safe.push('_');
    }
    shortened(&safe, MOST)
}

/// A [safe] name for what was named on the other end's command line: it is not hidden, so that nothing that programs read by
/// themselves can be put into a home directory unseen.
pub(super) fn safe_at_top(name: &str) -> String {
    let safe = safe(name);
    match safe.starts_with('.') {
        true => shortened(&format!("_{safe}"), MOST),
        false => safe,
    }
}

/// The name itself, then `name (1).txt` and so on.
pub(super) fn numbered(name: &str, number: usize) -> String {
    if number == 0 {
        return name.into();
    }
    let (stem, extension) = split(name);
    let number = format!(" ({number})");
    let stem = cut(stem, MOST - number.len() - extension.len());
    format!("{stem}{number}{extension}")
}

/// What the unfinished file of this name is called.
pub(super) fn part(name: &str) -> String {
    let whole = format!("{name}{PART}");
    match whole.len() + NOTES.len() + ".new".len() <= MOST {
        true => whole,
        false => {
            let hash = blake3::hash(name.as_bytes()).to_hex();
            format!("{}{PART}", &hash[..32])
        }
    }
}

/// Where is noted what is known of the unfinished file of this name.
pub(super) fn notes(name: &str) -> String {
    part(name) + NOTES
}

/// A name that was not made safe yet, for people.
pub(super) fn shown(name: &str) -> String {
    let shown: String = name
        .chars()
        .map(|it| {
            if it.is_control() || is_deceptive(it) {
                '\u{fffd}'
            } else {
                it
            }
        })
        .collect();
    shortened(&shown, MOST)
}

/// Separators of any system, and what changes how a line looks.
fn is_unsafe(it: char) -> bool {
    let of_any = matches!(it, '/' | '\\' | ':') || it.is_control() || is_deceptive(it);
    of_any || cfg!(windows) && matches!(it, '<' | '>' | '"' | '|' | '?' | '*')
}

/// What turns the direction of text, or separates lines.
fn is_deceptive(it: char) -> bool {
    matches!(it, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes it for a device, whatever comes after the first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_ascii_uppercase();
    if DEVICES.contains(&&*stem) {
        return true;
    }
    let port = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    port.is_some_and(|it| it.chars().count() == 1 && it.contains(PORTS))
}

fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.into();
    }
    let (stem, extension) = split(name);
    format!("{}{extension}", cut(stem, most - extension.len()))
}

/// A short extension goes with its dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= 16 => name.split_at(at),
        _ => (name, ""),
    }
}

fn cut(text: &str, most: usize) -> &str {
    let most = (0..=most.min(text.len())).rfind(|at| text.is_char_boundary(*at));
    &text[..most.unwrap_or(0)]
}

const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
const PORTS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '¹', '²', '³',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_fine_stay() {
        for name in [
            "a",
            "holiday photos",
            "Überblick 2.pdf",
            "..a",
            "con1",
            "common.txt",
            ".hidden",
            "-rf",
            "a (1).txt",
            "写真.jpg",
        ] {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_do_not() {
        let cases = [
            ("", "_"),
            (".", "_"),
            ("..", "__"),
            (". .", "___"),
            ("/etc/passwd", "_etc_passwd"),
            ("../../x", ".._.._x"),
            ("..\\x", ".._x"),
            ("C:\\x", "C__x"),
            ("file:stream", "file_stream"),
            ("a\0b\nc\u{1b}[2J\u{7f}\u{9b}", "a_b_c_[2J__"),
            ("exe.\u{202e}txt", "exe._txt"),
            ("NUL", "_NUL"),
            ("con.txt", "_con.txt"),
            ("Aux .c", "_Aux .c"),
            ("lpt1", "_lpt1"),
            ("COM².x.y", "_COM².x.y"),
            ("a.conec-part", "a.conec-part_"),
            ("a.Conec-Part.json", "a.Conec-Part.json_"),
        ];
        for (name, made) in cases {
            assert_eq!(safe(name), made, "{name:?}");
        }
        assert_eq!(safe_at_top(".ssh"), "_.ssh");
        assert_eq!(safe_at_top("a.b"), "a.b");
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_extension() {
        for long in ["x".repeat(1000) + ".txt", "ü".repeat(500) + ".txt"] {
            for name in [safe(&long), numbered(&safe(&long), 12)] {
                assert!(name.len() <= MOST && name.len() > MOST - 4, "{name}");
                assert!(name.ends_with(".txt"), "{name}");
            }
            assert!(notes(&safe(&long)).len() <= MOST);
            assert_ne!(part(&safe(&long)), part(&numbered(&safe(&long), 1)));
        }
        assert_eq!(safe(&"ü".repeat(500)).len(), 254);
        assert_eq!(numbered("a.tar.gz", 2), "a.tar (2).gz");
        assert_eq!(numbered(".a", 1), ".a (1)");
        assert_eq!(part("a"), "a.conec-part");
        assert_eq!(notes("a"), "a.conec-part.json");
    }
}
