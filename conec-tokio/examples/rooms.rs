//! A chat with rooms: who is in a room hears what is said there, and what was said before it came. Whoever does not know a room's
//! passphrase hears nothing, nor does the Coordinator.
//!
//! ```text
//! cargo run --release -p conec-tokio --features passphrase --example rooms -- coordinator
//! export ROOM_PASSPHRASE="six random words, or more of them"
//! cargo run --release -p conec-tokio --features passphrase --example rooms -- client lobby alice
//! cargo run --release -p conec-tokio --features passphrase --example rooms -- client lobby bob
//! ```
//!
//! The passphrase can be in a file as well, which `ROOM_PASSPHRASE_FILE` names; never among the arguments, which others on the same machine
//! can read. The Coordinator leaves its pin in a file for Clients on the same machine. Elsewhere, give address and pin:
//! `client lobby carol example.org:4433 PIN`.

use std::{collections::BTreeMap, env, error::Error, fs, path::PathBuf, time::Duration};

use conec_tokio::{
    Certificate, Client, ClientConfig, ClientId, Coordinator, CoordinatorConfig, CoordinatorEvent,
    Group, GroupEnd, GroupItem, GroupKey, GroupStart, Identity, JoinConfig, KeyMatch, KeyPin, Name,
    Trust,
};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = env::args().skip(1).collect::<Vec<_>>();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["coordinator"] => coordinate("[::]:4433").await,
        ["coordinator", address] => coordinate(address).await,
        ["client", room, name] => chat(room, name, "localhost:4433", saved_pin()?).await,
        ["client", room, name, address] => chat(room, name, address, saved_pin()?).await,
        ["client", room, name, address, pin] => chat(room, name, address, pin.parse()?).await,
        _ => Err("say: coordinator [ADDRESS] | client ROOM NAME [ADDRESS [PIN]]".into()),
    }
}

/// Rooms are made by who joins them first: there is nothing to be done.
async fn coordinate(address: &str) -> Result<(), Box<dyn Error>> {
    let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    let coordinator = Coordinator::bind(address, config).await?;
    fs::write(pin_file(), coordinator.pin().to_string())?;
    println!("at {}, pin {}", coordinator.local_addr(), coordinator.pin());
    while let Some(event) = coordinator.next_event().await {
        if let CoordinatorEvent::ClientConnected { id, name, .. } = event {
            println!("{} has come ({id})", called(name));
        }
    }
    Ok(())
}

/// Says every line typed in the room, and prints what others say.
async fn chat(room: &str, name: &str, address: &str, pin: KeyPin) -> Result<(), Box<dyn Error>> {
    let room: Name = room.parse()?;
    let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
    config.name = Some(name.parse()?);
    let client = Client::connect(address, config).await?;
    let mut join = JoinConfig::sealed(GroupKey::from_passphrase(&passphrase()?, &room)?);
    join.start = GroupStart::Oldest;
    join.hear_own = false;
    join.watch = true;
    let group = client.join(room, join).await?;
    tokio::spawn(speak(group.clone()));
    let end = listen(&group).await;
    if end != GroupEnd::Left {
        println!("the room is closed: {end}");
    }
    client.close(Duration::from_secs(2)).await;
    Ok(())
}

/// Says what is typed, and leaves when that ends. While the Coordinator is away, lines wait.
async fn speak(group: Group) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Err(error) = group.publish(line).await {
            println!("* not said: {error}");
        }
    }
    group.leave();
}

async fn listen(group: &Group) -> GroupEnd {
    let mut present = BTreeMap::new();
    loop {
        match group.recv().await {
            Ok(item) => tell(item, &mut present),
            Err(end) => break end,
        }
    }
}

fn tell(item: GroupItem, present: &mut BTreeMap<ClientId, String>) {
    match item {
        GroupItem::Joined(joined) => {
            println!("* you are in");
            if joined.is_new_order {
                println!("* the coordinator was started anew: what was said last may be lost");
            }
            if joined.missed + joined.unsure > 0 {
                let (missed, unsure) = (joined.missed, joined.unsure);
                println!("* {missed} lines were missed, {unsure} of yours may be lost");
            }
        }
        GroupItem::Message(message) => {
            let text = String::from_utf8_lossy(&message.payload);
            println!("{}: {text}", called(message.name));
        }
        GroupItem::Lagged(count) => println!("* {count} lines are missing here"),
        GroupItem::Arrived(member) => {
            let name = called(member.name);
            match member.key {
                Some(KeyMatch::Same) => println!("* {name} is here"),
                _ => println!("* {name} is here, and does not have the same passphrase"),
            }
            present.insert(member.id, name);
        }
        GroupItem::Left(id) => {
            let name = present.remove(&id).unwrap_or_else(|| called(None));
            println!("* {name} has gone");
        }
        GroupItem::Unopened { problem, .. } => println!("* somebody said something: {problem}"),
        GroupItem::Withheld { count, .. } => {
            println!("* {count} lines were withheld, by the coordinator or on the way to it");
        }
        other => println!("* {other:?}"),
    }
}

fn passphrase() -> Result<String, Box<dyn Error>> {
    let said = match env::var_os("ROOM_PASSPHRASE_FILE") {
        Some(file) => fs::read_to_string(file)?,
        None => env::var("ROOM_PASSPHRASE")
            .map_err(|_| "set ROOM_PASSPHRASE or ROOM_PASSPHRASE_FILE")?,
    };
    Ok(said.trim().to_owned())
}

fn called(name: Option<Name>) -> String {
    name.map_or_else(|| "somebody".to_owned(), |name| name.to_string())
}

fn saved_pin() -> Result<KeyPin, Box<dyn Error>> {
    let pin = fs::read_to_string(pin_file())
        .map_err(|error| format!("no coordinator has left its pin here, so give it: {error}"))?;
    Ok(pin.parse()?)
}

fn pin_file() -> PathBuf {
    env::temp_dir().join("conec-rooms.pin")
}
