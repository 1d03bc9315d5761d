//! The whole system against its reference model.

use crate::model::{self, Op};

/// Input: the world's seed, then operations of four bytes each.
pub fn run(data: &[u8]) {
    let Some((&[high, low], ops)) = data.split_first_chunk() else {
        return;
    };
    let (ops, _) = ops.as_chunks();
    let ops: Vec<_> = ops
        .iter()
        .copied()
        .map(Op::from_bytes)
        .take(MAX_OPS)
        .collect();
    model::play(u16::from_be_bytes([high, low]).into(), &ops);
}

const MAX_OPS: usize = 100;
