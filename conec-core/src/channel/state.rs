//! The life of a channel. All its transitions are here.

/// Where a channel is in its life.
///
/// ```text
/// Setup ──open──▶ Open ──either side closes──▶ Closing ──both drained──▶ Ended
///   └───────────────┴──────── the link ends ──────┴─────────────────────▶ Ended
/// ```
#[derive(Debug)]
pub(super) struct State(Phase);

#[derive(Debug)]
enum Phase {
    /// The sides are finding out who they are to each other: no data streams yet.
    Setup,
    Open,
    Closing(Closing),
    Ended,
}

/// What both sides have said on the way to a graceful end.
#[derive(Debug)]
struct Closing {
    /// Whether this side began it.
    by_us: bool,
    /// How many streams the other side has opened in all, once it has said so.
    theirs: Option<(u64, u64)>,
    we_drained: bool,
    they_drained: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self(Phase::Setup)
    }

    /// Data streams may be used from now on. Whether that is news.
    pub(super) fn open(&mut self) -> bool {
        let news = matches!(self.0, Phase::Setup);
        if news {
            self.0 = Phase::Open;
        }
        news
    }

    /// This side wants a graceful end. Whether the other side is to be told.
    pub(super) fn close(&mut self) -> bool {
        self.begin_closing(true)
    }

    /// The other side opens no more streams than these. Whether it is to be told the same; `Err` if it may not say so.
    pub(super) fn peer_closing(&mut self, bi: u64, uni: u64) -> Result<bool, ()> {
        let tell = self.begin_closing(false);
        match &mut self.0 {
            Phase::Closing(closing) if closing.theirs.is_none() => {
                closing.theirs = Some((bi, uni));
                Ok(tell)
            }
            Phase::Setup | Phase::Open | Phase::Closing(_) | Phase::Ended => Err(()),
        }
    }

    /// No stream is left here, after the other side opened this many. Whether to tell that everything is done.
    pub(super) fn drain(&mut self, accepted: (u64, u64)) -> bool {
        match &mut self.0 {
            Phase::Closing(closing) if closing.theirs == Some(accepted) => {
                !std::mem::replace(&mut closing.we_drained, true)
            }
            Phase::Setup | Phase::Open | Phase::Closing(_) | Phase::Ended => false,
        }
    }

    /// The other side says that everything is done there. `Err` if it may not say so.
    pub(super) fn peer_drained(&mut self) -> Result<(), ()> {
        match &mut self.0 {
            Phase::Closing(closing) if !closing.they_drained && closing.theirs.is_some() => {
                closing.they_drained = true;
                Ok(())
            }
            Phase::Setup | Phase::Open | Phase::Closing(_) | Phase::Ended => Err(()),
        }
    }

    /// Whether both sides are done, so that the link can be closed.
    pub(super) fn is_drained(&self) -> bool {
        matches!(&self.0, Phase::Closing(closing) if closing.we_drained && closing.they_drained)
    }

    /// The channel is over. Whether that is news.
    pub(super) fn end(&mut self) -> bool {
        !matches!(std::mem::replace(&mut self.0, Phase::Ended), Phase::Ended)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.0, Phase::Open)
    }

    pub(super) fn is_setup(&self) -> bool {
        matches!(self.0, Phase::Setup)
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.0, Phase::Ended)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.0, Phase::Closing(_))
    }

    /// Whether this side asked for the graceful end that is under way.
    pub(super) fn is_closing_by_us(&self) -> bool {
        matches!(&self.0, Phase::Closing(closing) if closing.by_us)
    }

    /// Whether streams carry data: while open, and while the last ones are completed.
    pub(super) fn carries_data(&self) -> bool {
        matches!(self.0, Phase::Open | Phase::Closing(_))
    }

    fn begin_closing(&mut self, by_us: bool) -> bool {
        let begin = matches!(self.0, Phase::Open);
        if begin {
            self.0 = Phase::Closing(Closing {
                by_us,
                theirs: None,
                we_drained: false,
                they_drained: false,
            });
        }
        begin
    }
}
