//! The whole system against its reference model.

use crate::model::{Op, Run};

/// Input: the world's seed, then operations of four bytes each.
pub fn run(data: &[u8]) {
    let Some((&[high, low], ops)) = data.split_first_chunk() else {
        return;
    };
    let mut run = Run::new(u16::from_be_bytes([high, low]).into());
    let (ops, _) = ops.as_chunks();
    for &op in ops.iter().take(MAX_OPS) {
        run.apply(Op::from_bytes(op));
    }
    run.finish();
}

const MAX_OPS: usize = 100;
