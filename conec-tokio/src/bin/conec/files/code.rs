//! Codes to type instead of names and ids: `4821-acid-lunar-vapor`.
//!
//! The number is where both meet: who sends is connected under a name that follows from it. All of the code is the password of
//! SPAKE2, which both speak on the first stream of their channel, with the ids of both ends, which the channel has proved. So
//! neither the Coordinator, which sees who meets where and could be somebody in between, nor anybody else who tries a code learns
//! more than that one guess was wrong. There is no second one: who sends answers once.
//!
//! On the stream, who receives says its part of SPAKE2, then who sends; then who receives proves that it has the key, then who
//! sends.

use std::{fmt, str::FromStr, time::Duration};

use bip39::Language;
use blake3::Hash;
use bytes::Bytes;
use conec_tokio::{Channel, ClientId, Name, NoRandomness, Receiver, Sender};
use ring::rand::{SecureRandom, SystemRandom};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::{fault::Fault, protocol::CODE};
use crate::{
    codes,
    failure::{Exit, Failure},
};

/// A code. The list of words is that of BIP 39, in which no two words begin with the same four letters.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Code {
    number: u16,
    words: [&'static str; WORDS],
}

impl Code {
    /// A new one, which nobody can guess.
    pub(super) fn random() -> Result<Self, Failure> {
        let list = Language::English.word_list();
        let mut words = [""; WORDS];
        for word in &mut words {
            // As many as there are: 2048.
            *word = list[usize::from(random()?) % list.len()];
        }
        let number = NUMBERS.start + random()? % (NUMBERS.end - NUMBERS.start);
        Ok(Self { number, words })
    }

    /// Under which name who sends is connected meanwhile.
    pub(super) fn meeting_point(&self) -> Result<Name, Failure> {
        let hash = blake3::derive_key("conec files 1: where both meet", &self.number.to_be_bytes());
        let name = format!("code-{}", data_encoding::HEXLOWER.encode(&hash[..8]));
        name.parse()
            .map_err(|error| Failure::mistake(format!("{name}: {error}")))
    }

    /// Proves that this end, which receives, has the code, and sees whether the other one has.
    pub(super) async fn prove(&self, channel: &Channel, me: ClientId) -> Result<(), Failure> {
        let sender = channel.peer().ok_or_else(gone)?.id;
        let (mut to, mut from) = channel.open_bi(CODE).await?;
        let talk = async {
            let (state, element) =
                Spake2::<Ed25519Group>::start_a(&self.password(), &identity(me), &identity(sender));
            to.send(element.into()).await?;
            let key = Key::of(state, &hear(&mut from).await?)?;
            say(&mut to, key.proof(RECEIVES)).await?;
            key.check(SENDS, &hear(&mut from).await?)
        };
        // As long as the stream is there, so that the other end hears of nothing else before that.
        talk.await.map_err(|fault: Fault| fault.tell(channel))
    }

    /// Waits until who has opened this channel says its part. `None` if it says nothing: then it has not tried a code.
    pub(super) async fn try_of(channel: Channel) -> Option<Try> {
        let incoming = tokio::time::timeout(PATIENCE, channel.accept())
            .await
            .ok()??;
        let mut from = incoming.receiver;
        let element = hear(&mut from).await.ok()?;
        let to = incoming.sender.filter(|_| incoming.label == CODE)?;
        Some(Try {
            channel,
            from,
            to,
            element,
        })
    }

    fn password(&self) -> Password {
        Password::new(self.to_string())
    }
}

/// Somebody who tries a code.
pub(super) struct Try {
    channel: Channel,
    from: Receiver,
    to: Sender,
    element: Bytes,
}

impl Try {
    /// Whether it has the code. Whoever that is: the code was used then.
    pub(super) async fn check(mut self, code: &Code, me: ClientId) -> Result<Channel, Failure> {
        match self.talk(code, me).await {
            Ok(()) => Ok(self.channel),
            Err(fault) => Err(fault.tell(&self.channel)),
        }
    }

    async fn talk(&mut self, code: &Code, me: ClientId) -> Result<(), Fault> {
        let receiver = self.channel.peer().ok_or_else(gone)?.id;
        let (state, element) =
            Spake2::<Ed25519Group>::start_b(&code.password(), &identity(receiver), &identity(me));
        self.to.send(element.into()).await?;
        let key = Key::of(state, &self.element)?;
        // It has to prove that first: so one guess is all that it has.
        key.check(RECEIVES, &hear(&mut self.from).await?)?;
        say(&mut self.to, key.proof(SENDS)).await?;
        Ok(self.to.finish()?)
    }
}

/// What both have who have the code.
struct Key([u8; 32]);

impl Key {
    fn of(state: Spake2<Ed25519Group>, element: &[u8]) -> Result<Self, Fault> {
        let shared = state.finish(element).map_err(|_| wrong())?;
        Ok(Self(blake3::derive_key("conec files 1: key", &shared)))
    }

    fn proof(&self, who: &[u8]) -> Hash {
        blake3::keyed_hash(&self.0, who)
    }

    fn check(&self, who: &[u8], proof: &[u8]) -> Result<(), Fault> {
        // Compared in constant time.
        match self.proof(who) == *proof {
            true => Ok(()),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        self.words.iter().try_for_each(|it| write!(f, "-{it}"))
    }
}

/// It is as secret as a password while it is of use.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.number)
    }
}

/// As people type it: in any case, with anything between, and each word as far as it is clear.
impl FromStr for Code {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let typed = text.split(|it: char| !it.is_alphanumeric());
        let typed: Vec<_> = typed.filter(|it| !it.is_empty()).collect();
        let [number, typed @ ..] = &typed[..] else {
            return Err(no_code("nothing was given"));
        };
        let number = number
            .parse()
            .map_err(|_| no_code(&format!("{number:?} is no number")))?;
        let mut words = [""; WORDS];
        if !NUMBERS.contains(&number) || typed.len() != words.len() {
            return Err(no_code(
                "that is not a number of four digits and three words",
            ));
        }
        for (word, typed) in words.iter_mut().zip(typed) {
            *word = meant(&typed.to_lowercase())
                .ok_or_else(|| no_code(&format!("{typed:?} is not one of the words")))?;
        }
        Ok(Self { number, words })
    }
}

/// Which word is meant: the one itself, or the only one that begins like that.
fn meant(typed: &str) -> Option<&'static str> {
    let list: &'static [&'static str] = Language::English.word_list();
    let begins = || list.iter().filter(|it| it.starts_with(typed));
    match list.iter().find(|it| **it == typed) {
        Some(word) => Some(word),
        None if begins().count() == 1 => begins().next().copied(),
        None => None,
    }
}

fn identity(id: ClientId) -> Identity {
    Identity::new(id.to_string().as_bytes())
}

async fn say(to: &mut Sender, proof: Hash) -> Result<(), Failure> {
    Ok(to.send(Bytes::copy_from_slice(proof.as_bytes())).await?)
}

async fn hear(from: &mut Receiver) -> Result<Bytes, Fault> {
    let heard = tokio::time::timeout(PATIENCE, from.recv()).await;
    let heard = heard.map_err(|_| {
        Failure::new(
            Exit::Lost,
            "the other end does not answer",
            "get a new code from it",
        )
    })?;
    match heard? {
        Some(message) if message.len() <= LONGEST => Ok(message),
        _ => Err(Fault::malformed("this is no answer to a code")),
    }
}

fn random() -> Result<u16, Failure> {
    let mut bytes = [0; 2];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(u16::from_be_bytes(bytes))
}

fn wrong() -> Fault {
    let failure = Failure::new(
        Exit::Refused,
        "the codes at both ends are not the same, or somebody is in between",
        "a code is good for one try: make a new one with `conec send --code`",
    );
    Fault::new(codes::WRONG_CODE, failure)
}

fn no_code(why: &str) -> Failure {
    Failure::usage(
        format!("that is no code: {why}"),
        "type what `conec send --code` prints: it looks like 4821-acid-lunar-vapor",
    )
}

fn gone() -> Failure {
    Failure::new(
        Exit::Lost,
        "the other end has gone",
        "get a new code from it",
    )
}

const WORDS: usize = 3;
/// All of four digits, so that none is mistaken for another with a digit too few.
const NUMBERS: std::ops::Range<u16> = 1000..10_000;
/// How long the other end may take to say something.
const PATIENCE: Duration = Duration::from_secs(30);
/// Neither a part of SPAKE2 nor a proof is longer.
const LONGEST: usize = 33;
const RECEIVES: &[u8] = b"receives";
const SENDS: &[u8] = b"sends";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_understood_as_it_is_typed() {
        let code: Code = "4821-acid-lunar-vapor"
            .parse()
            .unwrap_or_else(|_| unreachable!());
        for typed in [
            "4821-acid-lunar-vapor",
            " 4821 Acid LUNAR vapor\n",
            "4821.acid_luna-vap",
        ] {
            assert_eq!(typed.parse::<Code>().ok(), Some(code.clone()), "{typed}");
        }
        assert_eq!(code.to_string(), "4821-acid-lunar-vapor");
        for wrong in [
            "",
            "acid-lunar-vapor",
            "821-acid-lunar-vapor",
            "48211-acid-lunar-vapor",
            "4821-acid-lunar",
            "4821-acid-lunar-vapor-acid",
            "4821-acid-lunar-xyzzy",
            "4821-a-lunar-vapor",
        ] {
            assert!(wrong.parse::<Code>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn codes_differ_and_can_be_read_back() {
        let codes: Vec<_> = (0..100).filter_map(|_| Code::random().ok()).collect();
        assert_eq!(codes.len(), 100);
        for code in &codes {
            assert_eq!(code.to_string().parse::<Code>().ok().as_ref(), Some(code));
            assert!(code.meeting_point().is_ok());
        }
        let alike = codes.iter().filter(|it| it.words == codes[0].words);
        assert_eq!(alike.count(), 1);
    }
}
