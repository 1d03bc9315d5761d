//! What a member says to its group, and what a Coordinator says to a member: any bytes whatever, among them messages that are well
//! formed. Others hear each other in order as before, and what a member hears of a Coordinator is in some order, or nothing.

use std::time::Duration;

use conec_core::{
    ClientEvent, ClientId, ClientState, GroupEnd, GroupEvent, GroupId, GroupItem, JoinConfig, Name,
};

use super::{Input, leave};
use crate::{
    raw::{CONTROL, Dial, Key, Raw, RawConn, message},
    sim::{Event, NodeId, World},
};

/// Input: who says it, and what, step by step.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 2 {
        0 => to_group(&mut input),
        _ => to_member(&mut input),
    }
}

/// A member beside two honest ones.
fn to_group(input: &mut Input<'_>) {
    let mut world = World::new(1);
    let (coordinator, clients) = world.with_clients(["ann", "ben"]);
    let members = clients.map(|node| (node, join(&mut world, node, "room")));
    let mut numbers = [0; 2];
    let raw = Raw::new(1);
    world.add_stranger(raw.clone());
    let (now, address) = (world.now(), world.address(coordinator));
    let conn = raw.connect(now, address, &Dial::home(Key::Identity(666)));
    wait(&mut world, "connected", || {
        conn.is_connected().then_some(())
    });
    conn.control(&message::hello(b"mallory", b""));
    wait(&mut world, "welcome", || conn.next_of_kind(0));
    let mut streams = Vec::new();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut world, input, &conn, &mut streams, of_member);
        talk(&mut world, &members, &mut numbers);
    }
    let now = world.now();
    conn.close(now, 0);
    world.run_for(Duration::from_secs(1));
    talk(&mut world, &members, &mut numbers);
    let room = name("room");
    let state = world.coordinator(coordinator).group_state(&room);
    if state.is_none_or(|it| it.members != 2 || it.next != numbers[0]) {
        world.fail("who is gone is still there, or something was heard by nobody");
    }
    leave(&mut world, Some(coordinator), &clients);
}

/// A member that is honest, of a Coordinator that may not be, and of an honest group of the same Coordinator.
fn to_member(input: &mut Input<'_>) {
    let mut world = World::new(1);
    let raw = Raw::new(1);
    let mallory = world.add_stranger(raw.clone());
    raw.listen(&Dial::home(Key::Certificate(1)));
    let client = world.add_client("ann");
    world.start_connecting(client, mallory);
    let conn = wait(&mut world, "a client", || raw.accept());
    let address = world.address(client);
    conn.control(&message::welcome(b"ann", address));
    world.run_for(Duration::from_secs(1));
    let (honest, truth) = ask(&mut world, client, &conn, "honest");
    conn.write(truth, message::frame(&message::joined(7, 0, 0, 1000)));
    world.run_for(Duration::from_millis(100));
    world.client(client).group(honest).recv();
    let mut lied_to = None;
    for told in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        let (group, streams, heard) = lied_to.get_or_insert_with(|| {
            let (group, stream) = ask(&mut world, client, &conn, "lies");
            (group, vec![stream], Heard::default())
        });
        step(&mut world, input, &conn, streams, of_group);
        while let Some(item) = world.client(client).group(*group).recv() {
            heard.hear(&world, &item);
        }
        if has_ended(&mut world, client, *group) {
            lied_to = None;
        }
        conn.write(truth, message::frame(&message::published(told, None, b"")));
        world.run_for(Duration::from_millis(100));
        let item = world.client(client).group(honest).recv();
        let is_next = matches!(&item, Some(GroupItem::Message(it)) if it.sequence == told);
        if !is_next || world.client(client).state() != ClientState::Connected {
            world.fail(&format!("{item:?} instead of {told}"));
        }
    }
    leave(&mut world, None, &[client]);
}

/// How a member has heard of an order.
#[derive(Default)]
struct Heard {
    next: Option<u64>,
}

impl Heard {
    fn hear(&mut self, world: &World, item: &GroupItem) {
        match (item, self.next) {
            (GroupItem::Joined(joined), None) => self.next = Some(joined.next),
            (GroupItem::Lagged(count), Some(next)) => self.next = next.checked_add(*count),
            (GroupItem::Message(message), Some(next)) if message.sequence == next => {
                self.next = Some(next + 1);
            }
            _ => world.fail(&format!("{item:?} after {:?}", self.next)),
        }
    }
}

/// Whether a membership is over.
fn has_ended(world: &mut World, client: NodeId, group: GroupId) -> bool {
    let end = world.take_event(client, |event| match event {
        Event::Client(ClientEvent::Group {
            group: of,
            event: GroupEvent::Ended(end),
        }) if *of == group => Some(*end),
        Event::Client(_) | Event::Coordinator(_) => None,
    });
    if matches!(end, Some(GroupEnd::Left | GroupEnd::Closed(_))) {
        world.fail("it has not left");
    }
    end.is_some()
}

/// Says something on the stream that was begun last.
fn step(
    world: &mut World,
    input: &mut Input<'_>,
    conn: &RawConn,
    streams: &mut Vec<u64>,
    forge: fn(&mut Input<'_>) -> Option<Vec<u8>>,
) {
    let stream = streams.last().copied();
    match (input.byte() % 10, stream) {
        (0, Some(stream)) => conn.write(stream, input.block().to_vec()),
        (1, Some(stream)) => conn.write(stream, message::frame(input.block())),
        (2, Some(stream)) => match input.byte() {
            code @ 0..100 => conn.reset(stream, code.into()),
            code @ 100..200 => conn.stop(stream, u64::from(code) - 100),
            _ => conn.finish(stream),
        },
        (3, _) => world.run_for(Duration::from_millis(10 * u64::from(input.byte()))),
        (_, stream) => {
            let said = forge(input);
            match (said, stream) {
                (Some(said), Some(stream)) => conn.write(stream, message::frame(&said)),
                // A membership of this group or another, or of none.
                (None, _) => {
                    let group = match input.byte() {
                        0..150 => b"room",
                        150..200 => b"club",
                        _ => input.block(),
                    };
                    if let Some(stream) = conn.open_bi() {
                        conn.write(stream, message::membership(group));
                        streams.push(stream);
                    }
                }
                (Some(_), None) => {}
            }
        }
    }
    world.run_for(Duration::from_millis(30));
}

/// Something that members say.
fn of_member(input: &mut Input<'_>) -> Option<Vec<u8>> {
    Some(match input.byte() % 8 {
        0 => return None,
        1 | 2 => message::join(input.byte() % 16),
        3 => {
            let (flags, slow, len) = (input.byte(), input.byte() % 4, input.byte() % 10);
            message::join_from(flags % 16, slow, input.bytes(len.into()))
        }
        4 => message::proof(input.block()),
        _ => message::publish(input.block()),
    })
}

/// Something that groups say.
fn of_group(input: &mut Input<'_>) -> Option<Vec<u8>> {
    let mut number = || match input.byte() {
        u8::MAX => (1 << 62) - 1,
        number => u64::from(number),
    };
    let (kind, one, other, third) = (number() % 12, number(), number(), number());
    let id = ClientId::from_bytes([one as u8; 32]);
    Some(match kind {
        0 | 1 => message::joined(one, other, third, 4 * (one % 300)),
        2 => message::own(one),
        3 => message::lagged(one, 0, one.saturating_add(other)),
        4 => message::lagged(one, other, third),
        5 => message::counts(one, other),
        6 => message::arrived(id, other as u8),
        7 => message::left(id),
        8 if one % 2 == 0 => message::roll(),
        8 => message::listed(),
        9 => message::published(one, Some(id), input.block()),
        _ => message::published(one, None, input.block()),
    })
}

/// One of the honest members says something, which both hear, as all that was said before.
fn talk(world: &mut World, members: &[(NodeId, GroupId); 2], numbers: &mut [u64; 2]) {
    let [(node, group), _] = *members;
    let said = format!("honest {}", numbers[0]);
    let published = world.client(node).group(group).publish(said.as_bytes());
    published.expect("there is room");
    for (&(node, group), number) in members.iter().zip(numbers) {
        let mut done = false;
        while !done {
            let item = world.wait_for("something in the group", PATIENCE, |world| {
                world.client(node).group(group).recv()
            });
            let GroupItem::Message(message) = item else {
                world.fail(&format!("{item:?} instead of {number}"));
            };
            if message.sequence != *number {
                world.fail(&format!("{message:?} instead of {number}"));
            }
            *number += 1;
            done = message.payload == said;
        }
    }
}

fn join(world: &mut World, node: NodeId, group: &str) -> GroupId {
    let now = world.now();
    let joined = world
        .client(node)
        .join(now, name(group), JoinConfig::default());
    let id = joined.expect("it is no member");
    world.wait_for("joined", PATIENCE, |world| {
        world.client(node).group(id).recv()
    });
    id
}

/// A Client asks to be a member. Its stream, as the Coordinator has it.
fn ask(world: &mut World, client: NodeId, conn: &RawConn, group: &str) -> (GroupId, u64) {
    let now = world.now();
    let joined = world
        .client(client)
        .join(now, name(group), JoinConfig::default());
    let id = joined.expect("it is no member");
    let stream = wait(world, "a membership", || {
        conn.accept().filter(|&stream| stream != CONTROL)
    });
    (id, stream)
}

fn wait<T>(world: &mut World, what: &str, done: impl Fn() -> Option<T>) -> T {
    world.wait_for(what, PATIENCE, |_| done())
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

const MAX_STEPS: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(10);
