//! Who is meant by an argument.

use std::{fmt, str::FromStr};

use conec_tokio::{ClientId, Name, Target};

/// Somebody else, by name or by id.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    written: String,
    target: Target,
}

impl Peer {
    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }
}

/// What is a valid id is one; everything else is a name.
impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let target = match text.parse::<ClientId>() {
            Ok(id) => id.into(),
            Err(_) => {
                let name = text.parse::<Name>();
                let name =
                    name.map_err(|error| format!("{error}; or an id, as `conec id` prints it"))?;
                name.into()
            }
        };
        Ok(Self {
            written: text.into(),
            target,
        })
    }
}

/// As it was written.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
