//! Log output of tests. An ERROR anywhere fails the test that caused it.

use std::sync::Once;

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, registry::LookupSpan,
};

/// Prints what `RUST_LOG` asks for, and makes errors panic. May be called any number of times.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let printed = tracing_subscriber::fmt::layer()
            .with_test_writer()
            .without_time()
            .with_filter(EnvFilter::from_default_env());
        let subscriber = tracing_subscriber::registry()
            .with(printed)
            // Filtered, so that what nobody wants to see costs nothing.
            .with(PanicOnError.with_filter(LevelFilter::ERROR));
        // Another test binary of the same process cannot be there first, but a harness might.
        let _ = tracing::subscriber::set_global_default(subscriber);
    });
}

struct PanicOnError;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for PanicOnError {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        assert!(
            *event.metadata().level() > Level::ERROR,
            "an error was logged: {event:?}"
        );
    }
}
