//! The scenarios: how conec behaves, told one behaviour at a time.

mod connecting;
