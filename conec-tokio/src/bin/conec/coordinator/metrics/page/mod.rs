//! The page that shows what happens: one document, without anything from elsewhere.

use std::sync::LazyLock;

use bytes::Bytes;
use data_encoding::BASE64;
use hyper::header::HeaderValue;
use ring::digest::{SHA256, digest};

pub(super) static PAGE: LazyLock<Page> = LazyLock::new(Page::new);

pub(super) struct Page {
    pub(super) text: Bytes,
    /// What browsers may do with it: run its own script and nothing else, load nothing, ask nobody but this server.
    pub(super) policy: HeaderValue,
}

impl Page {
    fn new() -> Self {
        let text = FRAME.replace("{STYLE}", STYLE).replace("{SCRIPT}", SCRIPT);
        let (style, script) = (hash(STYLE), hash(SCRIPT));
        let policy = format!(
            "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self {
            text: text.into(),
            policy: HeaderValue::from_str(&policy).expect("it is ASCII"),
        }
    }
}

fn hash(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    format!("sha256-{}", BASE64.encode(hash.as_ref()))
}

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and labels are whatever Clients like: they become text, never markup.
    #[test]
    fn nothing_that_is_told_becomes_markup() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "new Function",
            "srcdoc",
            "href",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for part in [FRAME, STYLE, SCRIPT] {
            // The name of SVG is no address.
            let part = part.replace("http://www.w3.org/2000/svg", "");
            for way in ["http:", "https:", "//cdn", "@import", "src=", "url(http"] {
                assert!(!part.contains(way), "{way}");
            }
        }
        // Else the hashes were of something else.
        assert_eq!(FRAME.matches("<script>{SCRIPT}</script>").count(), 1);
        assert_eq!(FRAME.matches("<style>{STYLE}</style>").count(), 1);
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
    }
}
