//! A chat in three terminals: what one types appears at all others, and the Coordinator cannot read it.
//!
//! ```text
//! cargo run --release -p conec-tokio --example chat -- coordinator
//! cargo run --release -p conec-tokio --example chat -- client alice
//! cargo run --release -p conec-tokio --example chat -- client bob
//! ```
//!
//! The Coordinator leaves its pin in a file for Clients on the same machine. Elsewhere, give address and pin:
//! `client carol example.org:4433 PIN`.

use std::{
    error::Error,
    fs,
    future::pending,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::{
    Certificate, Channel, Client, ClientConfig, Coordinator, CoordinatorConfig, CoordinatorEvent,
    Identity, KeyPin, Name, Offer, Path, Sender, Trust,
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// The streams to everyone else.
type Others = Arc<Mutex<Vec<Sender>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["coordinator"] => coordinate("[::]:4433").await,
        ["coordinator", address] => coordinate(address).await,
        ["client", name] => chat(name, "localhost:4433", saved_pin()?).await,
        ["client", name, address] => chat(name, address, saved_pin()?).await,
        ["client", name, address, pin] => chat(name, address, pin.parse()?).await,
        _ => Err("say: coordinator [ADDRESS] | client NAME [ADDRESS [PIN]]".into()),
    }
}

/// Connects everyone with everyone.
async fn coordinate(address: &str) -> Result<(), Box<dyn Error>> {
    let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    let coordinator = Coordinator::bind(address, config).await?;
    fs::write(pin_file(), coordinator.pin().to_string())?;
    println!("at {}, pin {}", coordinator.local_addr(), coordinator.pin());
    let mut present = Vec::new();
    while let Some(event) = coordinator.next_event().await {
        if let CoordinatorEvent::ClientConnected { id, name, .. } = event {
            println!("{} has come ({id})", called(name));
            present.retain(|&other| other != id && coordinator.find(other).is_some());
            for &other in &present {
                coordinator.connect(id, other, "chat")?;
            }
            present.push(id);
        }
    }
    Ok(())
}

/// Sends every line typed to all others, and prints theirs.
async fn chat(name: &str, address: &str, pin: KeyPin) -> Result<(), Box<dyn Error>> {
    let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
    config.name = Some(name.parse()?);
    let client = Client::connect(address, config).await?;
    println!("connected as {name} ({}); type away", client.id());
    let others = Others::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            offer = client.accept() => match offer {
                Some(offer) => drop(tokio::spawn(meet(offer, others.clone()))),
                None => break println!("the coordinator is gone: {}", client.closed().await),
            },
            line = lines.next_line() => match line? {
                Some(line) => {
                    let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
                    // Who has gone takes no more.
                    others.retain_mut(|other| other.try_send(Bytes::from(line.clone())).is_ok());
                }
                None => break,
            },
        }
    }
    client.close(Duration::from_secs(2)).await;
    Ok(())
}

async fn meet(offer: Offer, others: Others) {
    let Ok(channel) = offer.accept().await else {
        return;
    };
    let name = called(channel.peer().and_then(|peer| peer.name));
    let listened = tokio::select! {
        listened = listen(&name, &channel, others) => listened,
        never = watch(&name, &channel) => never,
    };
    if let Err(error) = listened {
        println!("* {name}: {error}");
    }
    println!("* {name} has gone");
}

/// Says which way lines take, as long as it is asked to.
async fn watch<T>(name: &str, channel: &Channel) -> T {
    let mut path = channel.path();
    while let Some(other) = channel.path_other_than(path).await {
        match other {
            Path::Direct(address) => println!("* {name} is now reached directly, at {address}"),
            Path::Proxied => println!("* {name} is now reached through the coordinator"),
            _ => println!("* {name} is now reached in another way: {other:?}"),
        }
        path = other;
    }
    pending().await
}

async fn listen(name: &str, channel: &Channel, others: Others) -> Result<(), Box<dyn Error>> {
    let sender = channel.open_uni("lines").await?;
    others
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(sender);
    // And can hear what is typed from now on.
    println!("* {name} is here");
    while let Some(mut stream) = channel.accept().await {
        while let Some(line) = stream.receiver.recv().await? {
            println!("{name}: {}", String::from_utf8_lossy(&line));
        }
    }
    Ok(())
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
    std::env::temp_dir().join("conec-chat.pin")
}
