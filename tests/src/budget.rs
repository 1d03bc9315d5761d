//! Small budgets of memory.

use conec_core::{ClientConfig, CoordinatorConfig};

/// Lets few Clients come, and share so much memory for messages. A quarter of it is the largest message.
pub fn share_out(config: &mut CoordinatorConfig, bytes: usize) {
    config.limits.clients = config.limits.clients.min(64);
    config.limits.clients_per_network = Some(config.limits.clients);
    let largest = &mut config.home.max_message_size;
    *largest = bytes / 4;
    let largest = *largest;
    config.memory = 0;
    config.memory = budget(config.worst_case_bytes(), largest, bytes);
}

/// Lets a Client's channels share so much memory for messages. A quarter of it is the largest message.
pub fn share_out_channels(config: &mut ClientConfig, bytes: usize) {
    for channel in [&mut config.home, &mut config.peer] {
        channel.max_message_size = bytes / 4;
    }
    config.memory = 0;
    config.memory = budget(config.worst_case_bytes(), bytes / 4, bytes);
}

/// With which memory there is so much for messages, where with none there would be least.
fn budget(least: u64, largest: usize, bytes: usize) -> usize {
    let messages = |bytes: usize| bytes + bytes / 8 + largest;
    let fixed = least as usize - messages(4 * largest);
    fixed + messages(bytes) * 2 + 100
}
