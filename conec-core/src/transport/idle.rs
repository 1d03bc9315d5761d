//! How long the other side of a connection waits to hear something.

use std::time::Duration;

use quinn_proto::{VarInt, coding::Codec, crypto::Session};

/// The other side's `max_idle_timeout` (RFC 9000, 18.2), if it has one. The engine knows, and does not tell: here it is read
/// in what the engine would write.
pub(super) fn idle_timeout(session: &dyn Session) -> Option<Duration> {
    let parameters = session.transport_parameters().ok()??;
    let mut written = Vec::new();
    parameters.write(&mut written);
    find(&written).filter(|timeout| !timeout.is_zero())
}

fn find(mut parameters: &[u8]) -> Option<Duration> {
    loop {
        let id = VarInt::decode(&mut parameters).ok()?.into_inner();
        let len = VarInt::decode(&mut parameters).ok()?.into_inner();
        let (mut value, rest) = parameters.split_at_checked(usize::try_from(len).ok()?)?;
        if id == MAX_IDLE_TIMEOUT {
            let millis = VarInt::decode(&mut value).ok()?.into_inner();
            return Some(Duration::from_millis(millis));
        }
        parameters = rest;
    }
}

const MAX_IDLE_TIMEOUT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_found_among_other_parameters() {
        let parameters = [4, 1, 7, 1, 2, 0x42, 0x00, 32, 0];
        assert_eq!(find(&parameters), Some(Duration::from_millis(0x200)));
        assert_eq!(find(&parameters[..3]), None);
        assert_eq!(find(&parameters[..5]), None);
        assert_eq!(find(&[]), None);
    }
}
