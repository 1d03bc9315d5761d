//! Bytes of a stream in whatever order they come: they are given out in the stream's own, each once, and no more pieces are
//! kept than there are gaps, but for large ones.

use conec_core::testing::Reassembly;

use super::Input;

/// Input: where the stream begins, then steps. Each is a kind, and a place and a length where bytes come.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let begin = u64::from(input.byte()) << 32;
    let mut reassembly = Reassembly::new(begin);
    let mut stream = Stream {
        begin,
        next: 0,
        known: Vec::new(),
    };
    while !input.is_empty() {
        let kind = input.byte();
        if kind % 4 == 0 {
            let piece = reassembly.pop();
            stream.popped(piece.as_deref());
        } else {
            let (high, low) = (usize::from(input.byte()), usize::from(input.byte()));
            let len = usize::from(input.byte());
            // Few large ones and many small ones, most of them near what is next.
            let at = match kind % 8 {
                1 => high << 8 | low,
                2 => stream.next,
                _ => (stream.next + low).saturating_sub(high / 4),
            };
            let len = if kind & 0x80 == 0 { len } else { len << 6 };
            stream.came(&mut reassembly, at, len, kind & 0x40 != 0);
        }
        stream.check(&reassembly);
    }
    stream.came(&mut reassembly, 0, stream.known.len(), false);
    while let Some(piece) = reassembly.pop() {
        stream.popped(Some(&piece));
    }
    assert_eq!(stream.next, stream.known.len());
    assert_eq!(reassembly.state(), (0, 0, false));
}

/// The stream, and what has come of it, counted from where it begins.
struct Stream {
    begin: u64,
    next: usize,
    known: Vec<bool>,
}

impl Stream {
    fn byte(place: usize) -> u8 {
        (place * 31 + (place >> 8)) as u8
    }

    fn came(&mut self, reassembly: &mut Reassembly, at: usize, len: usize, may_pass: bool) {
        let bytes: Vec<u8> = (at..at + len).map(Self::byte).collect();
        self.known.resize(self.known.len().max(at + len), false);
        // Whatever passes has not come before: of that the engine takes care.
        let is_new = !self.known[at..at + len].contains(&true);
        if may_pass && is_new && reassembly.pass(self.begin + at as u64, &bytes) {
            assert_eq!(at, self.next);
            self.next += len;
        } else {
            reassembly.insert(self.begin + at as u64, &bytes);
        }
        self.known[at..at + len].fill(true);
    }

    fn popped(&mut self, piece: Option<&[u8]>) {
        let is_there = self.known.get(self.next) == Some(&true);
        assert_eq!(piece.is_some(), is_there);
        for &byte in piece.unwrap_or_default() {
            assert!(self.known[self.next]);
            assert_eq!(byte, Self::byte(self.next));
            self.next += 1;
        }
    }

    fn check(&self, reassembly: &Reassembly) {
        let (len, pieces, has_gaps) = reassembly.state();
        let rest = &self.known[self.next..];
        assert_eq!(len, rest.iter().filter(|&&known| known).count());
        let last = rest.iter().rposition(|&known| known);
        let missing = last.map_or(0, |last| last + 1 - len);
        assert_eq!(has_gaps, missing > 0);
        let runs = rest.chunk_by(|a, b| a == b).filter(|run| run[0]).count();
        assert!(
            (runs..=runs + len / 8192).contains(&pieces),
            "{pieces} pieces of {runs} runs with {len} bytes"
        );
    }
}
