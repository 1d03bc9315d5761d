//! What a group costs: messages from some members to all, beside a bare quinn-proto server and nats-server. Linux only.
//!
//! ```text
//! cargo bench -p conec-tests --bench fanout             # all cases
//! cargo bench -p conec-tests --bench fanout -- 1-to-50  # the cases in whose names one of these words occurs
//! cargo bench -p conec-tests --bench fanout -- --quick  # one short round
//! ```
//!
//! | case | what is measured |
//! | --- | --- |
//! | `1-to-50`, `1-to-10`, `10-to-10` | how many messages of 1 KiB are delivered for each second of processor time of the server |
//! | `sealed` | what it costs publishers and members that messages are sealed |
//! | `unread` | what the others notice of a member that never reads, and of one whose process is stopped |
//! | `memory` | what the Coordinator's process takes with 10 and with 1,000 members |
//!
//! The server has a process of its own, and so have the members together; for `sealed`, publisher and members have one each. Every
//! member has a socket and a home channel of its own. Rounds are interleaved, and what is shown are medians; ratios are medians of
//! each round's own. Options: `--rounds 5`, `--time 2` (seconds of each measurement), `--mtu 1452` (the largest UDP payload, for conec
//! and for bare quinn-proto), `--json FILE`.
//!
//! What is side by side in the first three cases:
//!
//! * *conec, push back*: a group that waits for its slowest member, so that everything is delivered to all;
//! * *conec*: a group as it is by default, with the deliveries that there really were;
//! * *bare quinn-proto*: `bare/server.rs`, which does the least that a server can do that puts what publishers send into one order and
//!   writes it to a stream of every member: with conec's sockets, its GSO batches, cipher suite and windows, and as many bytes in front
//!   of each message;
//! * *nats-server*: plain TCP, from the Debian package `nats-server` (`apt-get install nats-server`) or wherever `PATH` has it. It is left
//!   out where there is none.
//!
//! Publishers are never more than `--window` messages (192) ahead of the slowest member, whatever the server is: so all servers have the
//! same to do, and nobody has to lose anything.

mod bare;
mod conec;
mod load;
mod measure;
mod memory;
mod nats;
mod report;
mod role;
mod settings;
mod unread;

#[path = "../../../conec-tokio/benches/loopback/meter.rs"]
mod meter;
#[path = "../../../conec-tokio/benches/loopback/process.rs"]
mod process;
#[path = "../../../conec-tokio/benches/loopback/result.rs"]
mod result;

use crate::{result::Result, settings::Settings};

fn main() -> Result<()> {
    let settings = Settings::from_args()?;
    if let Some(role) = &settings.role {
        return role::run(serde_json::from_str(role)?);
    }
    let mut records = Vec::new();
    for (name, publishers, subscribers) in
        [("1-to-50", 1, 50), ("1-to-10", 1, 10), ("10-to-10", 10, 10)]
    {
        if settings.wants(name) {
            records.push(measure::servers(name, publishers, subscribers, &settings)?);
        }
    }
    if settings.wants("sealed") {
        records.push(measure::sealed(&settings)?);
    }
    if settings.wants("unread") {
        records.push(unread::measure(&settings)?);
    }
    if settings.wants("memory") {
        records.push(memory::measure(&settings)?);
    }
    if let Some(path) = &settings.json {
        std::fs::write(path, serde_json::to_string_pretty(&records)?)?;
    }
    Ok(())
}
